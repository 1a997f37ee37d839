"""A run under way as OpenMetrics text, for Prometheus: counters since its first step, by workload, loader and rank.

Discovery, what workers do before an epoch, and checkpoints are not among the operations, as in the report.
"""

from __future__ import annotations

from typing import cast

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST, generate_latest

from ioprof.trace.follow import Follower
from ioprof.trace.histogram import SUB_BITS
from ioprof.trace.opsfile import COUNTERS, KINDS, Words
from ioprof.trace.step_follow import StepTotals

__all__ = ["CONTENT_TYPE_LATEST", "metrics_text"]

_OCTAVES = range(10, 35)
"""Upper bounds of the latency buckets: powers of two of a nanosecond, 1.024 µs to 17.2 s; the trace's own edges."""
_RANK_LABELS = ("workload", "loader", "rank")
_KIND_LABELS = (*_RANK_LABELS, "kind")


class _Collected:
    """What a registry hands over to be written as text."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> list[Metric]:
        return self._families


def metrics_text(follower: Follower, *, is_active: bool) -> bytes:
    """Return the run as it is now.

    Args:
        follower: of the run.
        is_active: steps are still being made.

    Raises:
        OSError: the run's files cannot be read.
    """
    families = [*_of_run(follower, is_active=is_active), *_of_steps(follower), *_of_operations(follower)]
    text: bytes = generate_latest(cast("CollectorRegistry", _Collected(families)))
    return text


def _base(follower: Follower) -> tuple[str, str]:
    record = follower.record
    return (record.workload.name, record.loader) if record is not None else ("", "")


def _of_run(follower: Follower, *, is_active: bool) -> list[Metric]:
    labels = _RANK_LABELS[:2]
    active = GaugeMetricFamily(
        "ioprof_run_active", "1 while steps are being made, 0 behind the last one", labels=labels
    )
    active.add_metric(_base(follower), int(is_active))
    if (record := follower.record) is None:
        return [active]
    info = InfoMetricFamily("ioprof_run", "The run that these figures are of", labels=labels)
    told = {"version": record.ioprof_version, "accelerator": record.accelerator.name, "label": record.label or ""}
    info.add_metric(_base(follower), told | {"started": record.started_utc})
    return [active, info]


def _of_steps(follower: Follower) -> list[Metric]:
    steps = CounterMetricFamily("ioprof_steps", "Steps made, warm-up included", labels=_RANK_LABELS)
    samples = CounterMetricFamily("ioprof_samples", "Samples delivered, warm-up included", labels=_RANK_LABELS)
    busy = CounterMetricFamily(
        "ioprof_accelerator_busy_seconds", "Accelerator at work", labels=_RANK_LABELS, unit="seconds"
    )
    idle = CounterMetricFamily(
        "ioprof_accelerator_idle_seconds", "Accelerator without work, pauses between epochs left out",
        labels=_RANK_LABELS, unit="seconds",
    )  # fmt: skip
    epoch = GaugeMetricFamily("ioprof_epoch", "Pass over the dataset, from 0", labels=_RANK_LABELS)
    has_accelerator = follower.record is None or follower.record.accelerator.name != "none"
    for rank, one in follower.ranks().items():
        labels, totals = (*_base(follower), str(rank)), one.totals
        _add_steps(labels, totals, steps, samples, epoch)
        if has_accelerator:
            busy.add_metric(labels, totals.busy_ns / 1e9)
            idle.add_metric(labels, totals.idle_ns / 1e9)
    return [steps, samples, epoch, *([busy, idle] if has_accelerator else [])]


def _add_steps(
    labels: tuple[str, ...],
    totals: StepTotals,
    steps: CounterMetricFamily,
    samples: CounterMetricFamily,
    epoch: GaugeMetricFamily,
) -> None:
    steps.add_metric(labels, totals.steps)
    samples.add_metric(labels, totals.samples)
    epoch.add_metric(labels, totals.epoch)


def _of_operations(follower: Follower) -> list[Metric]:
    size = CounterMetricFamily(
        "ioprof_operation_bytes", "Bytes that operations moved", labels=_KIND_LABELS, unit="bytes"
    )
    errors = CounterMetricFamily("ioprof_operation_errors", "Operations that failed", labels=_KIND_LABELS)
    latency = HistogramMetricFamily(
        "ioprof_operation_latency_seconds", "How long operations took", labels=_KIND_LABELS, unit="seconds"
    )
    made = CounterMetricFamily("ioprof_batches_made", "Batches made by workers", labels=_RANK_LABELS)
    workers = GaugeMetricFamily("ioprof_workers", "Processes that make batches", labels=_RANK_LABELS)
    follower.operations.look()
    for rank, counts in sorted(follower.operations.counts().items()):
        for place in np.flatnonzero(counts[:, 0]).tolist():
            labels = (*_base(follower), str(rank), KINDS[place].label)
            size.add_metric(labels, int(counts[place, 1]))
            errors.add_metric(labels, int(counts[place, 2]))
            latency.add_metric(labels, _buckets(counts[place]), sum_value=int(counts[place, 3]) / 1e9)
    processes = follower.operations.workers()
    for rank in sorted({one.rank for one in processes}):
        own = [one for one in processes if one.rank == rank]
        made.add_metric((*_base(follower), str(rank)), sum(one.batches for one in own))
        workers.add_metric((*_base(follower), str(rank)), len(own))
    return [size, errors, latency, made, workers]


def _buckets(row: Words) -> list[tuple[str, float]]:
    """Return how many operations took up to each bound; every bound is an edge of the trace's own histogram."""
    cumulative = np.cumsum(row[COUNTERS:])
    found = [(repr(2**octave / 1e9), float(cumulative[(octave << SUB_BITS) - 1])) for octave in _OCTAVES]
    return [*found, ("+Inf", float(cumulative[-1]))]
