"""The few figures of a run that tables of several runs show."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from ioprof.analysis.summary import Summary
from ioprof.trace.kinds import STORAGE_KINDS


class CompoundModel(BaseModel):
    """Base of what suite.json and mixed.json hold; newer minor versions may add keys."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class KeyFigures(CompoundModel):
    """Figures of one run, as in its summary.json; None with a reason."""

    samples: int
    steps: int
    samples_per_s: float | None
    accelerator_utilization: float | None
    accelerator_utilization_ci95: tuple[float, float] | None
    iops: float | None
    """Storage operations of every kind per second."""
    bandwidth_bytes_per_s: float | None
    dearest_operation: str | None
    """Kind of storage operation that took most time in all."""
    p99_ns: float | None
    """99th percentile of that kind's durations."""
    host_cpu_utilization: float | None
    """Share of all the host's CPU time in use, other programs and pipelines included."""
    client_hit_ratio: float | None
    """Share of the bytes that this host's page cache served."""
    errors: int
    """Failed operations."""
    verdict: str
    reasons: dict[str, str] = Field(default_factory=dict)
    """Why a figure is None, by its key."""


_REASON_KEYS = {
    "samples_per_s": "samples_per_s",
    "accelerator_utilization": "accelerator_utilization",
    "accelerator_utilization_ci95": "accelerator_utilization_ci95",
    "iops": "iops",
    "bandwidth_bytes_per_s": "bandwidth_bytes_per_s",
    "host_cpu_utilization": "cpu.utilization",
    "client_hit_ratio": "cache.client_hit_ratio",
}


def key_figures(summary: Summary) -> KeyFigures:
    """Return the figures of a summary that stand for it beside others."""
    dearest = _dearest(summary)
    latency = summary.operations[dearest].latency_ns if dearest else None
    reasons = {key: summary.reasons[name] for key, name in _REASON_KEYS.items() if name in summary.reasons}
    if dearest is None:
        reasons["p99_ns"] = reasons["dearest_operation"] = "no storage operation was timed"
    return KeyFigures(
        samples=summary.samples,
        steps=summary.steps,
        samples_per_s=summary.samples_per_s,
        accelerator_utilization=summary.accelerator_utilization,
        accelerator_utilization_ci95=summary.accelerator_utilization_ci95,
        iops=summary.iops,
        bandwidth_bytes_per_s=summary.bandwidth_bytes_per_s,
        dearest_operation=dearest,
        p99_ns=latency.p99 if latency else None,
        host_cpu_utilization=summary.cpu.utilization,
        client_hit_ratio=summary.cache.client_hit_ratio,
        errors=sum(found.count for found in summary.errors.values()),
        verdict=summary.verdict.sentence,
        reasons=reasons,
    )


def _dearest(summary: Summary) -> str | None:
    spent_ns = {
        kind.label: stats.count * stats.latency_ns.mean
        for kind in STORAGE_KINDS
        if (stats := summary.operations.get(kind.label)) is not None and stats.latency_ns is not None
    }
    return max(spent_ns, key=lambda kind: spent_ns[kind], default=None)
