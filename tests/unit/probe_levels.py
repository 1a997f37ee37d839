"""Levels and records of probes, as a store of known rates would leave them."""

from __future__ import annotations

from ioprof.trace.probe_record import LevelRecord, ProbeRecord


def probe_level(processes: int, rate: float, *, spread: float = 0.01, **changes: object) -> LevelRecord:
    """Return a level of four windows around a rate, mostly waiting for the store."""
    windows = [rate * (1 + spread * step) for step in (-1.5, -0.5, 0.5, 1.5)]
    record = LevelRecord(
        processes=processes, seconds=1.0, samples=round(rate), samples_per_s=rate, samples_per_s_ci95=(rate, rate),
        bytes_per_s=rate * 4096, operations_per_s=rate * 3, window_s=0.25, window_samples_per_s=windows,
        ended="precise", latency=None, operations={}, on_cpu_ratio=0.2, host_cpu_ratio=0.3, run_queue_ratio=0.05,
        blocked_ratio=0.8, client_hit_ratio=0.0, failed_samples=0,
    )  # fmt: skip
    return record.model_copy(update=changes)


def probe_record(levels: list[LevelRecord]) -> ProbeRecord:
    """Return a record of levels."""
    return ProbeRecord(
        ioprof_version="0", started_utc="", outcome="complete", workload="w", store="s", cache="asis", cores=2.0,
        first_epoch=0, levels=levels,
    )  # fmt: skip
