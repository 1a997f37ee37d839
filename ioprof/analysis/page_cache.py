"""What this host's page cache served: as the kernel was asked before the reads, and as its counters say afterwards.

Two witnesses. *Asked*: before a read, how many of its pages were in the page cache. *Counted*: how many bytes the
kernel fetched for the workers in all (``read_bytes`` of /proc/PID/io), the rest of what they read having come from the
page cache. For whole objects the first is the truth, read by read. Parts of a file are another matter: one read makes
the kernel read ahead, the next finds its pages there although they came from the device a moment ago. There the
counters are the truth, and what was asked is the most that it can have been.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from ioprof.analysis.asked_batches import half_interval
from ioprof.analysis.fetch_counters import hidden_below
from ioprof.analysis.kernel import (
    COLD_HIT_RATIO,
    HIDDEN_HITS,
    cache_evidence,
    left_after_eviction,
    no_page_cache_reason,
)
from ioprof.analysis.summary import CacheEvidence
from ioprof.analysis.wording import percent
from ioprof.trace.kinds import Phase
from ioprof.trace.run_record import CacheCounts, RunRecord

TOLERANCE = 0.02
"""By so much the two may differ: counters are read five times a second, not at the first and last read of a batch."""
MOST_UNANSWERED = 0.01
_CALLS = {"cachestat": "cachestat(2)", "rwf_nowait": "preadv2(RWF_NOWAIT)", "mincore": "mincore(2)"}
_BATCHES = (Phase.WARMUP, Phase.STEADY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What was in the page cache just before it was read."""

    hit_ratio: float
    """Share of the pages, 0.0 to 1.0; of a run in which some batches were asked about an estimate for all."""
    is_whole: bool
    """Only whole objects were read, or around the page cache: nothing of it was read ahead by the reads themselves."""
    reads: int
    batches: int
    asked_batches: int
    methods: tuple[str, ...]
    interval: float = 0.0
    """Half of the 95 % interval; 0.0 where every batch was asked about, or none needed to be."""
    has_warmup: bool = False
    """Whether batches of the warm-up are among them."""

    @property
    def is_exact(self) -> bool:
        """Whether every batch was asked about."""
        return self.asked_batches == self.batches

    @property
    def most_ratio(self) -> float:
        """Upper end of the 95 % interval."""
        return self.hit_ratio + self.interval

    @property
    def is_rough(self) -> bool:
        """Whether asking itself made the kernel read, so that counters are worth more than answers."""
        return "rwf_nowait" in self.methods

    def sentence(self) -> str:
        """Return what was asked, how, and what came out."""
        which = f"all {self.batches:,}" if self.is_exact else f"{self.asked_batches:,} of {self.batches:,}"
        batches = "batches (warm-up included)" if self.has_warmup else "batches"
        spread = "" if self.is_exact else f" (± {percent(self.interval)})"
        ahead = "" if self.is_whole else ", what earlier reads made it read ahead included"
        about = "about " if self.is_rough else ""
        if not self.methods:
            return f"O_DIRECT: {self.reads:,} reads of {which} {batches} went around the page cache."
        how = " and ".join(_CALLS[method] for method in self.methods)
        return (
            f"{how} before {self.reads:,} reads of {which} {batches}: {about}{percent(self.hit_ratio)}{spread} of "
            f"their pages were in the page cache{ahead}."
        )


def asked_about(run: RunRecord, batches: pa.Table, phases: Sequence[Phase]) -> Asked | str:
    """Return what the kernel answered about the reads of some phases, or why that is not known.

    Args:
        run: the record.
        batches: those of the phases, for the spread.
        phases: parts of the run.
    """
    counts = [one for one in run.cache_counts if one.phase in {phase.label for phase in phases}]
    reads, unanswered = _sum(counts, "objects") + _sum(counts, "ranges"), _sum(counts, "unanswered")
    pages = _sum(counts, "all_object_pages") + _sum(counts, "all_range_pages")
    if unanswered > MOST_UNANSWERED * (reads + unanswered):
        return _unanswered(counts, unanswered, reads)
    if not pages:
        return "no read was asked about"
    hits = _sum(counts, "all_object_hits") + _sum(counts, "all_range_hits")
    found = Asked(
        hit_ratio=hits / pages,
        is_whole=not _sum(counts, "ranges"),
        reads=reads,
        batches=_sum(counts, "batches"),
        asked_batches=_sum(counts, "asked_batches"),
        methods=tuple(sorted({one.method for one in counts if one.method is not None})),
        has_warmup=any(one.phase == Phase.WARMUP.label and one.batches for one in counts),
    )
    return found if found.is_exact or not found.methods else replace(found, interval=half_interval(batches))


def _unanswered(counts: Sequence[CacheCounts], unanswered: int, reads: int) -> str:
    if not reads:
        return "neither cachestat(2), mincore(2) nor preadv2(RWF_NOWAIT) answers for the files of this store here"
    return f"the kernel gave no answer about {unanswered:,} of {reads + unanswered:,} reads (files of another user?)"


def _sum(counts: Sequence[CacheCounts], name: str) -> int:
    return sum(getattr(one, name) for one in counts)


def client_hits(run: RunRecord, batches: pa.Table, phase: str) -> tuple[CacheEvidence, str | None]:
    """Return what the page cache served, by both witnesses, and why it is unknown if it is.

    Args:
        run: the record.
        batches: the measured ones.
        phase: ``steady``, or ``all`` where nothing came after the warm-up.
    """
    counted, no_count = cache_evidence(run)
    counted = replace(counted, cold_caches=_made_cold(run))
    if no_page_cache_reason(run) is not None:
        return counted, no_count
    asked = _asked_in_window(run, batches, phase, counted)
    if isinstance(asked, str):
        told = f"{counted.evidence} Not asked before the reads: {asked}." if run.cache_counts else counted.evidence
        return replace(counted, evidence=told, kernel_hit_ratio=counted.client_hit_ratio), no_count
    both = replace(
        counted,
        evidence=f"{asked.sentence()} {counted.evidence}",
        asked_hit_ratio=asked.hit_ratio,
        kernel_hit_ratio=counted.client_hit_ratio,
        method=" ".join(asked.methods) or "direct",
        exact=asked.is_exact and not asked.is_rough,
    )
    if not asked.methods:
        return _of_direct(run, both, counted, no_count)
    if (doubt := _hidden_cache(run, asked, counted)) is not None:
        unknown = replace(both, client_hit_ratio=None, cold_achieved=None)
        return replace(unknown, evidence=f"{both.evidence} Unknown: {doubt}."), doubt
    if _is_truth(run, asked, counted):
        return _of_objects(run, both, asked, counted)
    return (both, no_count) if asked.is_rough else _of_ranges(both, asked, no_count)


def _asked_in_window(run: RunRecord, batches: pa.Table, phase: str, counted: CacheEvidence) -> Asked | str:
    """Return what was asked in the measured phase; where counters are believed, in theirs, warm-up included."""
    asked = asked_about(run, batches, (Phase.STEADY,) if phase == "steady" else _BATCHES)
    if isinstance(asked, str) or _is_truth(run, asked, counted):
        return asked
    return asked_about(run, batches, _BATCHES)


def _is_truth(run: RunRecord, asked: Asked, counted: CacheEvidence) -> bool:
    """Tell whether answers are worth more than counters."""
    return asked.is_whole and not _maps(run) and (counted.client_hit_ratio is None or not asked.is_rough)


def _made_cold(run: RunRecord) -> tuple[str, ...]:
    """Return which caches of this host were emptied before each epoch."""
    if not run.cache.evictions or run.cache.requested != "cold":
        return ()
    # The first drop comes before discovery, which reads names again before the first epoch.
    names_stayed_cold = run.cache.drops >= run.cache.evictions and run.workload.discovered is None
    return ("content", "names and inodes") if names_stayed_cold else ("content",)


def _maps(run: RunRecord) -> bool:
    return any(io.mapped_bytes for io in run.kernel_io or [])


def _of_objects(
    run: RunRecord, both: CacheEvidence, asked: Asked, counted: CacheEvidence
) -> tuple[CacheEvidence, None]:
    """Return the evidence for whole objects: what was asked is the truth."""
    was_cold = _was_cold(asked, counted) if not _stayed(run) else False
    return replace(both, client_hit_ratio=asked.hit_ratio, cold_achieved=was_cold), None


def _stayed(run: RunRecord) -> bool:
    """Tell whether evictions left more than counts as cold."""
    left = left_after_eviction(run)
    return left is not None and left > COLD_HIT_RATIO


def _was_cold(asked: Asked, counted: CacheEvidence) -> bool | None:
    """Return whether reads of whole objects were cold; where too few were asked about, by counters that agree."""
    if asked.most_ratio <= COLD_HIT_RATIO:
        return True
    if asked.hit_ratio - asked.interval > COLD_HIT_RATIO:
        return False
    ratio = counted.client_hit_ratio
    agrees = ratio is not None and abs(ratio - asked.hit_ratio) <= asked.interval + TOLERANCE
    return counted.cold_achieved if agrees else None


def cold_unknown_reason(cache: CacheEvidence) -> str:
    """Return why it is not known whether reads were cold although their ratio is."""
    if cache.exact is False and cache.client_hit_ratio == cache.asked_hit_ratio:
        return (
            "too few batches were asked about to exclude more than 1 % from the page cache "
            "(--cache-evidence every asks about all)"
        )
    return HIDDEN_HITS


def _hidden_cache(run: RunRecord, asked: Asked, counted: CacheEvidence) -> str | None:
    """Return why an overlay's page cache may not be all there is; None: nothing speaks for it."""
    ratio = counted.client_hit_ratio
    if not hidden_below(run) or ratio is None or ratio <= asked.most_ratio + TOLERANCE:
        return None
    return (
        f"the store is an overlay, what lies below it is not visible here, and the kernel fetched only "
        f"{percent(1 - ratio)} although {percent(1 - asked.hit_ratio)} was not in the page cache: below it may be a "
        "file system with a cache of its own (ZFS), or one that compresses"
    )


def _of_direct(
    run: RunRecord, both: CacheEvidence, counted: CacheEvidence, no_count: str | None
) -> tuple[CacheEvidence, str | None]:
    """Return the evidence for O_DIRECT: 0, if the kernel did fetch what was read."""
    if (doubt := _direct_doubt(counted, no_count)) is None:
        return replace(both, client_hit_ratio=0.0, cold_achieved=not _stayed(run)), None
    unknown = replace(both, client_hit_ratio=None, cold_achieved=None, asked_hit_ratio=None, exact=None)
    return replace(unknown, evidence=f"{counted.evidence} Unknown: {doubt}."), doubt


def _direct_doubt(counted: CacheEvidence, no_count: str | None) -> str | None:
    """Return why reads may not have gone around the page cache although they were to; None: they did."""
    if counted.client_hit_ratio is None:
        return f"nothing shows that the file system honoured O_DIRECT: {no_count}"
    if counted.client_hit_ratio <= TOLERANCE:
        return None
    return (
        f"reads were to go around the page cache (O_DIRECT), but the kernel fetched only "
        f"{percent(1 - counted.client_hit_ratio)} of their bytes: the file system read through it all the same, or "
        "does not count all that it fetches"
    )


def _of_ranges(both: CacheEvidence, asked: Asked, no_count: str | None) -> tuple[CacheEvidence, str | None]:
    """Return the evidence for parts of files: the counters are the truth, and cannot exceed what was asked."""
    most = asked.most_ratio
    if both.client_hit_ratio is not None and both.client_hit_ratio > most + TOLERANCE:
        reason = (
            f"only {percent(asked.hit_ratio)} of the pages were in the page cache before the reads, but by the "
            f"kernel's counters it served {percent(both.client_hit_ratio)}: not all that is fetched is counted here"
        )
        cold = True if most <= COLD_HIT_RATIO else None
        return replace(
            both, client_hit_ratio=None, cold_achieved=cold, evidence=f"{both.evidence} Unknown: {reason}."
        ), reason
    if most > COLD_HIT_RATIO:
        return both, no_count
    ratio = both.client_hit_ratio if both.client_hit_ratio is not None else asked.hit_ratio
    return replace(both, client_hit_ratio=ratio, cold_achieved=True), None


def witnesses_differ(run: RunRecord, batches: pa.Table) -> str | None:
    """Return how what was asked and what was counted contradict each other; None: they do not, or cannot tell.

    Both cover warm-up and measured batches here. Of parts of files only one of them can be compared.
    """
    counted, no_count = cache_evidence(run)
    asked = asked_about(run, batches, _BATCHES)
    if isinstance(asked, Asked) and not asked.methods and no_page_cache_reason(run) is None:
        doubt = _direct_doubt(counted, no_count)
        return None if doubt is None else f"{doubt[0].upper()}{doubt[1:]}."
    if isinstance(asked, str) or asked.is_rough or not asked.is_whole or counted.client_hit_ratio is None or _maps(run):
        return None
    apart = counted.client_hit_ratio - asked.hit_ratio
    if abs(apart) <= TOLERANCE + asked.interval:
        return None
    why = (
        "others fetched them in between, or this file system does not count what it fetches"
        if apart > 0
        else "the kernel fetched more than was missing"
    )
    return (
        f"Two witnesses of the page cache disagree: {percent(asked.hit_ratio)} of the pages were there before the "
        f"reads, but by the kernel's counters it served {percent(counted.client_hit_ratio)} ({why})."
    )
