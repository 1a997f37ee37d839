"""What the kernel says beside our own taps: page cache, bytes, CPU time; or why it cannot."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from ioprof.analysis.summary import CacheEvidence, Coverage, CpuTime
from ioprof.trace.run_record import RunRecord
from ioprof.units import format_bytes

COLD_HIT_RATIO = 0.01
"""At most this share from the page cache counts as cold."""


def no_cache_ratio_reason(run: RunRecord) -> str | None:
    """Return why this run has no page-cache ratio, or None if it has one."""
    if not run.workload.reads_storage:
        return "the loader delivered prepared batches: nothing was read"
    if not is_local(run):
        return "the store is not a local path: this host's page cache is not in its way"
    if run.store.get("is_memory"):
        return "the file system keeps its files in memory: there is no device behind the page cache"
    if run.kernel_io is None:
        return "/proc/PID/io of the workers was not readable"
    if sum(worker.tapped_bytes for worker in run.kernel_io) == 0:
        return "no read passed the taps"
    return None


def is_local(run: RunRecord) -> bool:
    """Tell whether the store is reached by plain file calls."""
    stated = run.store.get("is_local")
    return bool(stated) if stated is not None else "://" not in str(run.store.get("url", ""))


def cache_evidence(run: RunRecord) -> tuple[CacheEvidence, str | None]:
    """Return what the page cache served, and why it is unknown if it is.

    The kernel counts in ``read_bytes`` what it fetched from the device or server for a process. What our
    taps read beyond that came from this host's page cache: hit ratio = 1 - sum(min(read_bytes, tapped)) /
    sum(tapped) over the workers. Whole pages and readahead make the kernel fetch more than was asked for,
    which can hide hits but never invent them: the true ratio is this or higher.
    """
    cold = run.cache.requested == "cold"
    reason = no_cache_ratio_reason(run)
    if reason is not None or run.kernel_io is None:
        evidence = CacheEvidence(
            client_hit_ratio=None, evidence=f"Unknown: {reason}.", cold_requested=cold, cold_achieved=None
        )
        return evidence, reason
    tapped = sum(worker.tapped_bytes for worker in run.kernel_io)
    fetched = sum(worker.read_bytes for worker in run.kernel_io)
    missed = sum(max(0, min(worker.read_bytes, worker.tapped_bytes)) for worker in run.kernel_io)
    ratio = min(1.0, max(0.0, 1.0 - missed / tapped))
    text = (
        f"/proc/PID/io of {len(run.kernel_io)} processes: {format_bytes(tapped)} read through the taps, "
        f"{format_bytes(fetched)} fetched from the device or server"
        + (" (whole pages and readahead included)." if fetched > tapped else ".")
    )
    return CacheEvidence(
        client_hit_ratio=ratio, evidence=text, cold_requested=cold, cold_achieved=ratio <= COLD_HIT_RATIO
    ), None


def coverage(run: RunRecord) -> tuple[Coverage, str | None]:
    """Return bytes seen by the taps over bytes the kernel counted for the same processes (``rchar``)."""
    if run.kernel_io is None:
        return _NO_COVERAGE, "/proc/PID/io of the workers was not readable"
    tapped = sum(worker.tapped_bytes for worker in run.kernel_io)
    kernel = sum(worker.rchar_bytes for worker in run.kernel_io)
    if not run.kernel_io or kernel <= 0:
        return Coverage(tapped_bytes=tapped, kernel_bytes=kernel, ratio=None), "the kernel counted no reads"
    if not is_local(run):
        reason = "the store is not a local path: rchar does not count what comes through sockets"
        return Coverage(tapped_bytes=tapped, kernel_bytes=kernel, ratio=None), reason
    return Coverage(tapped_bytes=tapped, kernel_bytes=kernel, ratio=tapped / kernel), None


_NO_COVERAGE = Coverage(tapped_bytes=None, kernel_bytes=None, ratio=None)


def cpu_time(measured_batches: pa.Table, utilization: float | None) -> CpuTime:
    """Return the workers' time on CPU, waiting for a CPU, and blocked, summed over the measured batches.

    Batches without the kernel's accounting are left out of the sums and of `accounted_ratio`; each sum is None if
    there are no others.
    """
    known = measured_batches.filter(pc.is_valid(measured_batches["blocked_ns"]))
    made_ns, accounted_ns = _made_ns(measured_batches), _made_ns(known)
    seconds = {
        name: float(pc.sum(known[f"{name}_ns"]).as_py()) / 1e9 if known.num_rows else None
        for name in ("on_cpu", "run_queue", "blocked")
    }
    return CpuTime(
        on_cpu_s=seconds["on_cpu"],
        run_queue_s=seconds["run_queue"],
        blocked_s=seconds["blocked"],
        accounted_ratio=accounted_ns / made_ns if known.num_rows and made_ns else None,
        utilization=utilization,
    )


def _made_ns(batches: pa.Table) -> int:
    """Return the time from fetch start to collate end, summed; unknown stamps count nothing."""
    return pc.sum(pc.subtract(batches["collate_end_ns"], batches["fetch_start_ns"])).as_py() or 0
