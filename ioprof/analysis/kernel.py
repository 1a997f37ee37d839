"""What the kernel says beside our own taps: page cache, bytes, CPU time; or why it cannot."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ioprof.analysis.accounted import Floats, accounted, floats, lasted_ns, weighted_sum, weights, within
from ioprof.analysis.fetch_counters import filesystems, miscounted_reason
from ioprof.analysis.summary import CacheEvidence, Coverage, CpuTime
from ioprof.analysis.unseen import uncounted_reason
from ioprof.analysis.wording import percent
from ioprof.trace.run_record import CacheRecord, KernelIo, RunRecord
from ioprof.units import format_bytes

COLD_HIT_RATIO = 0.01
"""At most this share from the page cache counts as cold."""
HIDING_SURPLUS = 0.01
"""Bytes fetched beyond those read, as a share of these, from which on hits may hide among them."""
WIDEST_RATIO = 0.05
"""Where the least and the most that the page cache can have served lie further apart, its share is not known."""
MOST_MAPPED_SURPLUS = 1.05
"""Pages fetched per page touched in mapped files, up to which readahead cannot be mistaken for reads never seen."""
HIDDEN_HITS = "the kernel fetched more than was read: whole pages and readahead may hide what the page cache served"


_OWN_CACHE = ("zfs",)
"""File systems that keep what they read in memory of their own, which the page cache knows nothing of."""


def no_page_cache_reason(run: RunRecord) -> str | None:
    """Return why the page cache plays no part in this run, or none that anybody could tell; None: it does."""
    if not run.workload.reads_storage:
        return "the loader delivered prepared batches: nothing was read"
    if not is_local(run):
        return "the store is not a local path: this host's page cache is not in its way"
    if run.store.get("is_memory"):
        return "the store lies in this host's memory: there is no storage behind the page cache"
    own = next((name for name in filesystems(run) if name in _OWN_CACHE), None)
    if own is not None:
        return f"{own} caches what it reads in memory of its own, not in the page cache"
    return None


def no_cache_ratio_reason(run: RunRecord) -> str | None:
    """Return why the kernel's counters give this run no page-cache ratio, or None if they give one."""
    if (reason := no_page_cache_reason(run)) is not None:
        return reason
    if run.kernel_io is None:
        return "/proc/PID/io of the workers was not readable"
    if (reason := miscounted_reason(run)) is not None:
        return reason
    if sum(worker.tapped_bytes for worker in run.kernel_io) == 0:
        return "no read passed the taps"
    return uncounted_reason(run)


def is_local(run: RunRecord) -> bool:
    """Tell whether the store is reached by plain file calls."""
    stated = run.store.get("is_local")
    return bool(stated) if stated is not None else "://" not in str(run.store.get("url", ""))


def cache_evidence(run: RunRecord) -> tuple[CacheEvidence, str | None]:
    """Return what the page cache served, and why it is unknown if it is.

    The kernel counts in ``read_bytes`` what it fetched from the device or server for a process, in whole pages.
    What our taps read beyond that came from this host's page cache. Both are compared in whole pages, every
    object rounded up: hit ratio = 1 - sum(min(read_bytes, tapped pages)) / sum(tapped pages) over the workers.
    Runs from before the pages were counted compare bytes. Readahead, and pages in such old runs, make the kernel
    fetch more than was asked for, which can hide hits but never invent them: the true ratio is this or higher.
    Where an old run fetched more than it read, a low ratio therefore shows nothing about cold.

    Of ranges that are small or begin inside pages, each page counts once, as if they tiled the object. Where they do
    not, the kernel may have to fetch all pages they reach into: the ratio lies between the two counts, and where these
    are far apart and nobody looked at what an eviction left, it is unknown.
    """
    cold = run.cache.requested == "cold"
    reason = no_cache_ratio_reason(run)
    if reason is not None or run.kernel_io is None:
        return _unknown(f"By the kernel's counters unknown: {reason}.", cold), reason
    tapped = sum(worker.tapped_bytes for worker in run.kernel_io)
    fetched = sum(worker.read_bytes for worker in run.kernel_io)
    pages = _tapped_pages(run.kernel_io)
    asked = [worker.tapped_bytes for worker in run.kernel_io] if pages is None else pages
    ratio, left = _hit_ratio(run.kernel_io, asked), left_after_eviction(run)
    if pages is not None and left is None:
        most = _hit_ratio(run.kernel_io, [_touched(io) for io in run.kernel_io])
        if most - ratio > WIDEST_RATIO:
            return _between(run, ratio, most, pages)
    # Where each eviction was looked at, there is nothing left that readahead could hide.
    may_hide = pages is None or (left is None and any(io.mapped_bytes for io in run.kernel_io))
    surplus = fetched > (tapped if pages is None else sum(pages)) * (1 + HIDING_SURPLUS)
    hidden = may_hide and surplus and ratio <= COLD_HIT_RATIO
    was_cold = ratio <= COLD_HIT_RATIO and (left is None or left <= COLD_HIT_RATIO)
    return CacheEvidence(
        client_hit_ratio=ratio,
        evidence=_compared(run, tapped, None if pages is None else sum(pages), fetched)
        + (f" {_residency_words(run.cache)}" if left is not None else ""),
        cold_requested=cold,
        cold_achieved=None if hidden else was_cold,
    ), None


def _unknown(evidence: str, cold_requested: bool) -> CacheEvidence:
    return CacheEvidence(client_hit_ratio=None, evidence=evidence, cold_requested=cold_requested, cold_achieved=None)


def _hit_ratio(workers: list[KernelIo], asked: list[int]) -> float:
    """Return the share of the asked bytes that the kernel did not fetch, 0.0 to 1.0."""
    missed = sum(max(0, min(io.read_bytes, most)) for io, most in zip(workers, asked, strict=True))
    return min(1.0, max(0.0, 1.0 - missed / sum(asked)))


def _touched(io: KernelIo) -> int:
    """Return the bytes of all pages that a worker's reads reached into; where they were not counted, as tapped."""
    return max(io.touched_page_bytes or 0, io.tapped_page_bytes or 0)


def _between(run: RunRecord, least: float, most: float, pages: list[int]) -> tuple[CacheEvidence, str]:
    """Return evidence without a ratio; that it was not cold can be known all the same."""
    workers = run.kernel_io or []
    touched = sum(_touched(io) for io in workers)
    reason = (
        f"reads begin or end inside pages: the pages that are theirs make {format_bytes(sum(pages))}, those they reach "
        f"into {format_bytes(touched)}, so the page cache served between {percent(least)} and {percent(most)}"
    )
    tapped, fetched = sum(io.tapped_bytes for io in workers), sum(io.read_bytes for io in workers)
    return CacheEvidence(
        client_hit_ratio=None,
        evidence=f"{_compared(run, tapped, sum(pages), fetched)} Unknown: {reason}.",
        cold_requested=run.cache.requested == "cold",
        cold_achieved=False if least > COLD_HIT_RATIO else None,
    ), reason


def left_after_eviction(run: RunRecord) -> float | None:
    """Return the share of the pages that evictions left in the page cache, 0.0 to 1.0; None: nobody could look."""
    cache = run.cache
    if cache.resident_pages is None or not cache.checked_pages:
        return None
    return cache.resident_pages / cache.checked_pages


def _residency_words(cache: CacheRecord) -> str:
    return f"After eviction {cache.resident_pages:,} of {cache.checked_pages:,} pages looked at were still cached."


def _tapped_pages(workers: list[KernelIo]) -> list[int] | None:
    """Return the bytes of whole pages that each worker read, or None where not all of them counted pages."""
    known = [worker.tapped_page_bytes for worker in workers if worker.tapped_page_bytes is not None]
    return known if len(known) == len(workers) else None


def _compared(run: RunRecord, tapped: int, pages: int | None, fetched: int) -> str:
    surplus = fetched > (tapped if pages is None else pages)
    warmup = ", warm-up included" if run.warmup_steps else ""
    extra = "readahead" if pages is not None else "whole pages and readahead"
    return (
        f"/proc/PID/io of {len(run.kernel_io or [])} processes{warmup}: {format_bytes(tapped)} read through the taps"
        + (f", {format_bytes(pages)} in whole pages" if pages is not None else "")
        + f", compared with {format_bytes(fetched)} fetched from the device or server"
        + (f" ({extra} included)." if surplus else ".")
    )


def cold_not_applied(run: RunRecord) -> str | None:
    """Return why nothing was evicted although a cold cache was asked for; None where it was, or was not asked for.

    A killed run did not get to write what it had evicted: nothing is said of it.
    """
    cache = run.cache
    if cache.requested != "cold" or cache.evictions or not run.workload.reads_storage or run.ended_utc is None:
        return None
    return cache.note or "nothing was evicted"


def coverage(run: RunRecord) -> tuple[Coverage, str | None]:
    """Return bytes seen by the taps over bytes the kernel counted for the same processes.

    The kernel's count is ``rchar``; for mapped files, which it leaves out, what was fetched from the device or server.
    """
    if run.kernel_io is None:
        return _NO_COVERAGE, "/proc/PID/io of the workers was not readable"
    tapped = sum(worker.tapped_bytes for worker in run.kernel_io)
    if any(worker.mapped_bytes for worker in run.kernel_io):
        if (reason := miscounted_reason(run)) is not None:
            return Coverage(tapped_bytes=tapped, kernel_bytes=None, ratio=None), reason
        return _mapped_coverage(run.kernel_io, tapped)
    kernel = sum(worker.rchar_bytes for worker in run.kernel_io)
    if not run.kernel_io or kernel <= 0:
        return Coverage(tapped_bytes=tapped, kernel_bytes=kernel, ratio=None), "the kernel counted no reads"
    if not is_local(run):
        reason = "the store is not a local path: rchar does not count what comes through sockets"
        return Coverage(tapped_bytes=tapped, kernel_bytes=kernel, ratio=None), reason
    return Coverage(tapped_bytes=tapped, kernel_bytes=kernel, ratio=tapped / kernel), None


def _mapped_coverage(workers: list[KernelIo], tapped: int) -> tuple[Coverage, str | None]:
    """Compare touched pages with fetched ones; only where the page cache gave nothing do they say the same."""
    fetched = sum(worker.read_bytes for worker in workers)
    pages = sum(worker.tapped_page_bytes or 0 for worker in workers)
    unknown = Coverage(tapped_bytes=tapped, kernel_bytes=fetched, ratio=None)
    if fetched < pages * (1 - COLD_HIT_RATIO):
        reason = (
            "files were read through mappings, of which the kernel counts what it fetches and nothing else; "
            f"the page cache served {percent(1 - fetched / pages)} of the pages"
        )
        return unknown, reason
    if fetched > pages * MOST_MAPPED_SURPLUS:
        reason = (
            f"the kernel fetched {fetched / pages:.1f} times the pages that were copied from (readahead, and windows "
            "that end inside pages): reads that nobody saw would not show"
        )
        return unknown, reason
    return Coverage(tapped_bytes=tapped, kernel_bytes=fetched, ratio=min(1.0, pages / fetched)), None


_NO_COVERAGE = Coverage(tapped_bytes=None, kernel_bytes=None, ratio=None)


def cpu_time(measured_batches: pa.Table, utilization: float | None) -> CpuTime:
    """Return the workers' time on CPU, waiting for a CPU, and blocked, for all measured batches together.

    What the kernel said of the accounted batches is scaled to the time that all of them took; each sum is None if none
    was accounted. Where the kernel keeps no run queues, only the time on CPU is known.
    """
    known = accounted(measured_batches, "on_cpu_ns")
    counts, made_ns = weights(known), _made_ns(known)
    on_cpu_ns, run_queue_ns = within(made_ns, floats(known, "on_cpu_ns"), floats(known, "run_queue_ns"))
    blocked_ns = np.where(np.isnan(made_ns), floats(known, "blocked_ns"), made_ns - on_cpu_ns - run_queue_ns)
    all_ns, stood_for_ns = float(np.nansum(_made_ns(measured_batches))), weighted_sum(made_ns, counts)
    scale = all_ns / stood_for_ns if stood_for_ns else 1.0

    def seconds(durations_ns: Floats) -> float | None:
        total_ns = weighted_sum(durations_ns, counts)
        return None if total_ns is None else total_ns * scale / 1e9

    return CpuTime(
        on_cpu_s=seconds(on_cpu_ns),
        run_queue_s=seconds(run_queue_ns),
        blocked_s=seconds(blocked_ns),
        accounted_ratio=float(np.nansum(made_ns)) / all_ns if known.num_rows and all_ns else None,
        utilization=utilization,
    )


def _made_ns(batches: pa.Table) -> Floats:
    """Return the time from fetch start to collate end; NaN where a stamp is unknown."""
    return lasted_ns(batches, "fetch_start_ns", "collate_end_ns")
