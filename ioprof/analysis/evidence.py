"""Gathers from a trace what `bound_of` judges by."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ioprof.analysis.bound import Evidence
from ioprof.analysis.ceiling import is_otherwise_cached, workers_of
from ioprof.analysis.idle_causes import IdleByCause
from ioprof.analysis.operations import KindTotals
from ioprof.analysis.store_limit import bytes_share_of, is_growing, shorter_told
from ioprof.analysis.summary import Baselines, CpuTime
from ioprof.trace.kinds import READ_KINDS, STORAGE_KINDS, WRITE_KINDS
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace


def evidence_of(
    trace: Trace,
    measured: pa.Table,
    *,
    delivered_per_s: float,
    demand_per_s: float | None,
    wall_s: float,
    idle: IdleByCause | None,
    totals: list[KindTotals],
    cpu: CpuTime,
    baselines: Baselines,
    client_hit_ratio: float | None,
) -> Evidence:
    """Return what is known of a run beside its own rate.

    Args:
        trace: the run.
        measured: the batches of the steps in the measured window.
        delivered_per_s: samples/s.
        demand_per_s: what full speed needs; None without an accelerator.
        wall_s: length of the measured window.
        idle: idle time by cause; None without an accelerator.
        totals: operations of the measured batches.
        cpu: where the workers' time on them went.
        baselines: the loader's.
        client_hit_ratio: share of the run's bytes that this host's page cache served; None: not known.
    """
    probe, workers = trace.probe, workers_of(trace.run)
    same = None if probe is None else probe.level(max(1, workers))
    best = None if probe is None else probe.ceiling
    if is_otherwise_cached(probe, client_hit_ratio):
        same = best = None
    made_s = _made_s(measured)
    accounted = sum(part for part in (cpu.on_cpu_s, cpu.run_queue_s, cpu.blocked_s) if part is not None)
    return Evidence(
        delivered_per_s=delivered_per_s,
        demand_per_s=demand_per_s,
        workers=workers,
        workers_can_be_set="workers" in trace.run.spec.get("loader", {"workers": 0}),
        cores=_cores(trace.run) if probe is None else probe.cores,
        at_workers_per_s=None if same is None else same.samples_per_s,
        at_workers_low_per_s=None if same is None or same.samples_per_s_ci95 is None else same.samples_per_s_ci95[0],
        best_per_s=None if best is None else best.samples_per_s,
        best_processes=0 if best is None else best.at_processes,
        is_store_limited=best is not None and best.limited_by == "store",
        is_client_limited=same is not None and same.is_client_limited,
        transport_per_s=baselines.transport_samples_per_s,
        no_workers_per_s=baselines.no_workers_samples_per_s,
        on_cpu_share=_share(cpu.on_cpu_s, accounted),
        run_queue_share=_share(cpu.run_queue_s, accounted),
        host_cpu_ratio=cpu.utilization,
        prep_share=_share(_sum_s(measured, "prep_ns"), float(made_s.sum())),
        working_share=min(1.0, float(made_s.sum()) / (max(1, workers) * wall_s)) if len(made_s) and wall_s else None,
        spread=float(made_s.std() / made_s.mean()) if len(made_s) > 1 and made_s.mean() > 0 else None,
        metadata_share=_metadata_share(totals),
        read_bytes=_read_bytes(totals),
        best_bytes_per_s=None if best is None else best.bytes_per_s,
        bytes_share=bytes_share_of(probe),
        is_growing=probe is not None and is_growing(probe.levels),
        shorter_told=shorter_told(probe),
        fitting_share=_fitting_share(trace, measured, made_s, demand_per_s),
        transfer_share=_idle_share(idle, "transfer"),
        delivery_share=_idle_share(idle, "delivery"),
    )


def _made_s(batches: pa.Table) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return how long each batch took its worker, where that is known."""
    took = pc.subtract(batches["collate_end_ns"], batches["fetch_start_ns"]).drop_null().to_numpy()
    return np.asarray(took, dtype=np.float64) / 1e9


def _sum_s(batches: pa.Table, column: str) -> float | None:
    total = pc.sum(batches[column]).as_py()
    return None if total is None else total / 1e9


def _cores(run: RunRecord) -> float | None:
    """Return the CPUs that a run without a probe might use: affinity, or a control group's quota if that is less."""
    known = [run.host.get(name) for name in ("affinity_cores", "cgroup_cpu_cores")]
    return min((float(cores) for cores in known if isinstance(cores, int | float)), default=None)


def _share(part: float | None, whole: float) -> float | None:
    return None if part is None or whole <= 0 else min(1.0, part / whole)


def _fitting_share(
    trace: Trace, measured: pa.Table, made_s: NDArray[np.float64], demand_per_s: float | None
) -> float | None:
    """Return the share of batches that took no longer than the accelerator is busy with those made ahead of them.

    None where batches come as they are done, or nothing is made ahead, or nothing is known of it.
    """
    loader = trace.run.spec.get("loader", {})
    ahead = loader.get("prefetch")
    if not demand_per_s or not len(made_s) or not isinstance(ahead, int) or loader.get("in_order") is False:
        return None
    samples = float(np.mean(measured["samples"].to_numpy()))
    return float(np.mean(made_s <= ahead * max(1, workers_of(trace.run)) * samples / demand_per_s))


def _metadata_share(totals: list[KindTotals]) -> float:
    storage = [kind for kind in totals if kind.kind in STORAGE_KINDS]
    whole_ns = sum(kind.total_ns for kind in storage)
    moved_ns = sum(kind.total_ns for kind in storage if kind.kind in (*READ_KINDS, *WRITE_KINDS))
    return 0.0 if whole_ns <= 0 else 1 - moved_ns / whole_ns


def _read_bytes(totals: list[KindTotals]) -> float:
    reads = [kind for kind in totals if kind.kind in READ_KINDS]
    return sum(kind.bytes for kind in reads) / max(1, sum(kind.count for kind in reads))


def _idle_share(idle: IdleByCause | None, group: str) -> float:
    """Return which share of the idle time a group of causes has; 0.0 without an accelerator."""
    whole = 0.0 if idle is None else idle.total()
    return idle.of(group) / whole if idle is not None and whole > 0 else 0.0
