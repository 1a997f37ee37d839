"""The kernel's accounting in words: what a mean batch did, stage by stage."""

from __future__ import annotations

from ioprof.analysis.stages import BatchEvents, StageTime
from ioprof.analysis.summary import CpuTime
from ioprof.units import format_duration

WORTH_TELLING = 0.01
"""Share of a batch from which on a stage, or a part of one, is told."""


def accounting_words(cpu: CpuTime) -> str | None:
    """Return the mean batch as text: ``of 4.00 ms to read: 200 µs on a CPU, ...``; None where nothing was accounted."""
    if cpu.stages is None:
        return None
    fetch, collate = cpu.stages["fetch"], cpu.stages["collate"]
    told = [_stage_words(fetch, "to read and decode" if fetch.prep_s_per_batch else "to read")]
    if collate.wall_s_per_batch >= WORTH_TELLING * fetch.wall_s_per_batch:
        told.append(_stage_words(collate, "to collate"))
    if cpu.events_per_batch is not None:
        told.append(_event_words(cpu.events_per_batch))
    return "; ".join(told)


def _stage_words(stage: StageTime, what: str) -> str:
    parts = [f"{_duration(stage.on_cpu_s_per_batch)} on a CPU"]
    if stage.run_queue_s_per_batch is None or stage.blocked_s_per_batch is None:
        rest_s = max(0.0, stage.wall_s_per_batch - stage.on_cpu_s_per_batch)
        parts.append(f"{_duration(rest_s)} waiting for a CPU or blocked (which of them is not known here)")
    else:
        parts.append(f"{_duration(stage.run_queue_s_per_batch)} waiting for a CPU")
        block_io = stage.block_io_s_per_batch
        of_it = f" ({_duration(block_io)} of it by block I/O)" if block_io is not None else ""
        parts.append(f"{_duration(stage.blocked_s_per_batch)} blocked{of_it}")
    return f"of {_duration(stage.wall_s_per_batch)} {what}: {', '.join(parts)}"


def _event_words(events: BatchEvents) -> str:
    return (
        f"{events.minor_faults:,.1f} minor and {events.major_faults:,.1f} major page faults, "
        f"{events.voluntary_switches:,.1f} waits and {events.involuntary_switches:,.1f} preemptions "
        f"(mean of {events.batches:,} {'batch' if events.batches == 1 else 'batches'})"
    )


def _duration(seconds: float) -> str:
    return "0" if seconds == 0 else format_duration(seconds * 1e9)
