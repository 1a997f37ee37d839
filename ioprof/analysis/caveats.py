"""What a reader must know before trusting a number: one sentence each, the gravest first."""

from __future__ import annotations

from collections.abc import Iterator

from ioprof.analysis.bootstrap import MIN_STEPS
from ioprof.analysis.fetch_counters import is_fuse
from ioprof.analysis.handed_over import handed_over_caveats
from ioprof.analysis.kernel import COLD_HIT_RATIO, cold_not_applied, left_after_eviction
from ioprof.analysis.operations import KindTotals
from ioprof.analysis.page_cache import cold_unknown_reason
from ioprof.analysis.summary import (
    AcceleratorFacts,
    CacheEvidence,
    CheckpointStats,
    Coverage,
    CpuTime,
    MappedReads,
    OperationErrors,
)
from ioprof.analysis.undelivered import Undelivered
from ioprof.analysis.unseen import latency_unknown_reason
from ioprof.analysis.wording import percent, whole_percent
from ioprof.trace.run_record import RunRecord
from ioprof.units import format_bytes

HIGH_HIT_RATIO = 0.5
WARM_HIT_RATIO = 0.95
"""Below this share from the page cache a run that was to be warm says so."""
PREFETCHED_SHARE = 0.02
HEAVY_TRACING = 0.02
SLOWER_SHARE = 0.01
"""Beyond this share of operations that a throttle could only let pass, it is not its parameters that were measured."""
CROWDED_CPU = 0.1
"""Beyond this share of the workers' time in the run queue, their latencies tell of the host as well."""
_OUTCOME_WORDS = {"running": "is still going on", "interrupted": "was interrupted", "failed": "failed"}


def caveats(
    run: RunRecord,
    *,
    cache: CacheEvidence,
    witnesses: str | None,
    coverage: Coverage,
    mapped: MappedReads | None,
    cpu: CpuTime,
    errors: dict[str, OperationErrors],
    accelerator: AcceleratorFacts,
    overrun: str | None,
    steps: int,
    prefetched: int,
    lost: Undelivered,
    unsteady: tuple[str, ...],
    checkpoints: CheckpointStats | None,
    handed_over: list[KindTotals],
    written_bytes: int,
    tracing_share: float | None,
    delivering: int,
    defects: tuple[str, ...],
) -> tuple[str, ...]:
    """Return the caveats of a run, those the run recorded itself included, without repeats.

    Args:
        run: the record.
        cache: what the page cache served.
        witnesses: how the witnesses of that contradict each other; None: they do not.
        coverage: how much of the reading the taps saw.
        mapped: reads through memory mappings.
        cpu: where the workers' time went.
        errors: failed operations by kind.
        accelerator: what consumed the batches.
        overrun: by how much its steps took too long; None: they did not.
        steps: measured steps.
        prefetched: measured batches that were made before the window opened.
        lost: objects read for batches that no step got.
        unsteady: why the steps are too few or too uneven for their figures.
        checkpoints: what saving took; None where none were asked for.
        handed_over: what workers did when they ended.
        written_bytes: bytes of the whole run that went to the store.
        tracing_share: tracing's share of the workers' time.
        delivering: workers that made at least one batch.
        defects: what is wrong with the trace itself.
    """
    cold = not_cold(run, cache) if steps else None
    found = [
        *([cold] if cold is not None else ()),
        *_outcome(run),
        *_throttle(run),
        *_undelivered(lost),
        *defects,
        *(_cache(run, cache) if steps else ()),
        *([witnesses] if witnesses is not None else ()),
        *_errors(errors, is_watched=run.accelerator.is_measured),
        *_coverage(run, coverage),
        *_read_ahead(cache, mapped),
        *_cpu(cpu),
        *_accelerator(accelerator),
        *([overrun] if overrun is not None else ()),
        *_window(steps, prefetched),
        *unsteady,
        *_idle_workers(run, delivering),
        *_checkpoints(run, checkpoints),
        *handed_over_caveats(handed_over, written_bytes),
        *_tracing(run, tracing_share),
        *run.caveats,
    ]
    return tuple(dict.fromkeys(found))


def _outcome(run: RunRecord) -> Iterator[str]:
    if run.outcome != "complete":
        why = f" ({run.reason})" if run.reason else ""
        yield f"The run {_OUTCOME_WORDS[run.outcome]}{why}: figures cover the part that was measured."


def _throttle(run: RunRecord) -> Iterator[str]:
    """Tell that it is no store's own speed that was measured, and where the throttle could not keep its word."""
    if "throttle" not in run.store:
        return
    yield f"The store is throttled ({run.store['throttle']}): these are the figures of an imitation, not of a store."
    held = run.held_operations
    if held is not None and held.slower / held.operations > SLOWER_SHARE:
        yield (
            f"{percent(held.slower / held.operations)} of the throttled operations took longer than asked for by "
            "themselves: the store below, or this host, is slower than what is imitated."
        )


def _undelivered(lost: Undelivered) -> Iterator[str]:
    if lost.lost:
        rates = "" if lost.no_rate is None else "; too many for rates of operations"
        yield (
            f"{lost.lost:,} of {lost.reads:,} objects ({whole_percent(lost.share)}) were read for batches that no step "
            f"got before the end: operations include them{rates}."
        )


def _cache(run: RunRecord, cache: CacheEvidence) -> Iterator[str]:
    if not run.workload.reads_storage:
        return
    if run.store.get("is_memory"):
        # A file system on a device (a RAM disk, a loop over tmpfs) has a page cache before it, which can be evicted.
        never_cold = "" if run.store.get("disk") else ", and nothing of it can be made cold"
        yield (
            f"The store is this host's memory: no storage is measured{never_cold}. "
            "Name a directory on a disk or server with --store."
        )
        return
    ratio, not_applied = cache.client_hit_ratio, cold_not_applied(run)
    if not_applied is not None:
        yield f"Cold asked, not applied: {not_applied}."
    if cache.cold_requested and not_applied is None and cache.cold_achieved is None:
        why = f": {cold_unknown_reason(cache)}" if ratio is not None else ""
        yield f"A cold cache was asked for; whether it was cold is not known{why}."
    elif run.cache.requested == "warm" and ratio is not None and ratio < WARM_HIT_RATIO:
        yield (
            f"A warm cache was asked for, but this host's page cache served only {percent(ratio)} of the bytes: "
            f"{_why_not_warm(run)}."
        )
    elif not_cold(run, cache) is None and ratio is not None and ratio > HIGH_HIT_RATIO:
        yield (f"This host's page cache served {percent(ratio)} of the bytes: these figures are not the store's.")
    if is_fuse(run):
        yield (
            f"{run.store['filesystem']}: what was not in the page cache came from a client program on this host; "
            "whether that had it in a cache of its own is not known."
        )


def _why_not_warm(run: RunRecord) -> str:
    """Return what is known of why memory did not keep the dataset: it was larger, or something else."""
    memory, total_bytes = run.host.get("memory_available_bytes"), run.workload.total_bytes
    if not isinstance(memory, int) or total_bytes is None:
        return "perhaps the dataset does not fit the memory that is free for it"
    sizes = f"the dataset has {format_bytes(total_bytes)}, and {format_bytes(memory)} of memory were available"
    if total_bytes > memory:
        return f"it does not fit ({sizes})"
    return f"{sizes}: perhaps a control group's limit, or another program, took its place"


def not_cold(run: RunRecord, cache: CacheEvidence) -> str | None:
    """Return that a run was not cold although it was to be, which comes before anything else; None: it was."""
    if not run.workload.reads_storage or not cache.cold_requested or cache.cold_achieved is not False:
        return None
    if cold_not_applied(run) is not None:
        return None
    return f"A cold cache was asked for, but {_what_was_cached(run, cache.client_hit_ratio)}."


def _what_was_cached(run: RunRecord, ratio: float | None) -> str:
    """Return what was cached, and why where that is known: left by the eviction, or read before in the same epoch."""
    share = f"{percent(ratio)} of the bytes" if ratio is not None else "part of what was read"
    left, served = left_after_eviction(run), f"this host's page cache served {share}"
    if left is None:
        return served
    if left > COLD_HIT_RATIO:
        return (
            f"{percent(left)} of the dataset's pages stayed in this host's page cache after eviction (a process "
            "has them mapped, or they are dirty)"
        )
    return f"{served}, although it was empty when each epoch began: read, or read ahead, since then, if only by others"


def _errors(errors: dict[str, OperationErrors], *, is_watched: bool) -> Iterator[str]:
    for kind, failed in errors.items():
        names = ", ".join(f"{name} {count:,}" for name, count in failed.by_name.items())
        noun, theirs = ("operation", "its sample is") if failed.count == 1 else ("operations", "their samples are")
        came_of_it = "the program was told so by the operation" if is_watched else f"{theirs} missing"
        yield f"{failed.count:,} {kind} {noun} failed ({names}): {came_of_it}."


def _coverage(run: RunRecord, coverage: Coverage) -> Iterator[str]:
    unknown = latency_unknown_reason(run, coverage)
    if unknown is not None:
        yield f"Latencies per operation are not available ({unknown})."


def _read_ahead(cache: CacheEvidence, mapped: MappedReads | None) -> Iterator[str]:
    """Tell where a cold cache was filled by readahead, so that hardly any copy met the store's latency."""
    if mapped is None or not mapped.touches or not cache.cold_requested or not cache.cold_achieved:
        return
    spared = 1 - mapped.waiting_touches / mapped.touches
    if spared > HIGH_HIT_RATIO:
        yield (
            f"Readahead around page faults spared {percent(spared)} of the copies out of mapped files the device: "
            "their latencies are not the store's, and data larger than memory would be fetched more than once. "
            "--madvise random reads nothing ahead."
        )


def _cpu(cpu: CpuTime) -> Iterator[str]:
    if cpu.on_cpu_s is None or cpu.run_queue_s is None or cpu.blocked_s is None:
        return
    total_s = cpu.on_cpu_s + cpu.run_queue_s + cpu.blocked_s
    if total_s > 0 and cpu.run_queue_s / total_s > CROWDED_CPU:
        yield (
            f"The workers waited for a CPU {percent(cpu.run_queue_s / total_s)} of their time: "
            "that is in their latencies too, and is not the store's."
        )


def _accelerator(accelerator: AcceleratorFacts) -> Iterator[str]:
    if accelerator.is_estimate:
        yield f"The step time of {accelerator.name} is an estimate: {accelerator.source}."


def _idle_workers(run: RunRecord, delivering: int) -> Iterator[str]:
    workers = run.spec.get("loader", {}).get("workers")
    if run.outcome == "complete" and isinstance(workers, int) and 0 < delivering < workers:
        yield (
            f"{workers - delivering} of {workers} workers delivered no batch: no part of the data was left for them, "
            "or less than a batch. Use fewer workers, a smaller batch, or a larger dataset."
        )


def _window(steps: int, prefetched: int) -> Iterator[str]:
    if 0 < steps < MIN_STEPS:
        yield f"Only {steps} {'step was' if steps == 1 else 'steps were'} measured: too few for an interval."
    if steps and prefetched / steps > PREFETCHED_SHARE:
        yield f"{_prefetched(steps, prefetched)} Measure more steps."


def _checkpoints(run: RunRecord, stats: CheckpointStats | None) -> Iterator[str]:
    if stats is not None and stats.saves + stats.failed == 0:
        yield (
            f"No checkpoint was saved: one is due every {run.spec['checkpoint']['every']:,} steps, and the run had "
            "fewer. Run longer, or use a smaller --checkpoint-every."
        )
    elif stats is not None and stats.saves and not stats.fsync:
        yield "Checkpoints were not synced: their bandwidth is that of this host's memory, not the store's."


def _prefetched(steps: int, prefetched: int) -> str:
    """Return what batches made ahead do to the figures: only the others were made in the window's time."""
    if prefetched >= steps:
        return (
            f"All {steps:,} measured batches were made before the window opened: "
            "rates, utilisation and idle time mean nothing."
        )
    too_high = f"{prefetched / (steps - prefetched):.0%}".replace("%", " %")
    return (
        f"{prefetched:,} of {steps:,} measured batches were made before the window opened: rates may be up to "
        f"{too_high} too high, and utilisation and idle time share that bias."
    )


def _tracing(run: RunRecord, share: float | None) -> Iterator[str]:
    if share is not None and share > HEAVY_TRACING:
        yield f"Tracing took at least {percent(share)} of the workers' time."
    if run.sample_every > 1:
        yield f"Spans were kept for 1 batch in {run.sample_every}; counts and percentiles cover them all."
    if run.dropped_spans:
        yield (
            f"The results disk was full: {run.dropped_spans:,} records of full spans are missing; "
            "counts and percentiles cover them all."
        )
