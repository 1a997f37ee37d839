"""From what the processes of a level counted to the figures of its record."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ioprof.probe.board import Board, Word
from ioprof.probe.progress import Progress
from ioprof.probe.rates import rate_ci95
from ioprof.trace.histogram import BUCKETS, percentile_ns
from ioprof.trace.kinds import STORAGE_KINDS, Kind, Phase
from ioprof.trace.probe_record import LevelEnd, LevelOperations, LevelRecord, SampleLatency


def level_record(
    *,
    board: Board,
    progress: Progress,
    ended: LevelEnd,
    operations: pa.Table,
    cores: float,
    host_cpu_ratio: float,
    is_cached_locally: bool,
) -> LevelRecord:
    """Return the figures of a level.

    Args:
        board: its rows, after the processes have ended.
        progress: what they did while all of them read.
        ended: what ended it.
        operations: all operations of the processes, in the schema of a run's.
        cores: CPUs that the processes may use.
        host_cpu_ratio: share of all the host's CPU time in use.
        is_cached_locally: whether this host's page cache is in the way.
    """
    seconds, done, samples_per_s = progress.seconds, progress.done, progress.samples_per_s
    kinds = _operations(operations)
    asked = sum(kinds[kind.label].count for kind in STORAGE_KINDS if kind.label in kinds)
    read = max(1, int(board.rows[:, Word.SAMPLES].sum()))
    on_cpu_s, present_s = float(done[Word.ON_CPU_NS]) / 1e9, seconds * len(board.rows)
    queued = float(done[Word.RUN_QUEUE_NS]) / 1e9 / present_s if board.rows[:, Word.SCHEDULED].all() else None
    return LevelRecord(
        processes=len(board.rows),
        seconds=seconds,
        samples=round(float(done[Word.SAMPLES])),
        samples_per_s=samples_per_s,
        samples_per_s_ci95=rate_ci95(progress.window_rates),
        bytes_per_s=float(done[Word.BYTES]) / seconds,
        # Counted over the whole level; what a sample takes does not depend on when it is read.
        operations_per_s=asked / read * samples_per_s,
        window_s=seconds / len(progress.window_rates),
        window_samples_per_s=progress.window_rates,
        ended=ended,
        latency=_latency(board),
        operations=kinds,
        on_cpu_ratio=min(1.0, on_cpu_s / (seconds * cores)),
        host_cpu_ratio=host_cpu_ratio,
        run_queue_ratio=None if queued is None else min(1.0, queued),
        blocked_ratio=None if queued is None else min(1.0, max(0.0, 1 - queued - on_cpu_s / present_s)),
        client_hit_ratio=_hit_ratio(board) if is_cached_locally else None,
        failed_samples=int(board.rows[:, Word.FAILED_SAMPLES].sum()),
    )


def _latency(board: Board) -> SampleLatency | None:
    timed = board.rows[board.rows[:, Word.TIMED_SAMPLES] > 0]
    if not len(timed):
        return None
    histogram: NDArray[np.int64] = board.histograms.sum(axis=0)
    shortest, longest = int(timed[:, Word.SHORTEST_NS].min()), int(timed[:, Word.LONGEST_NS].max())
    samples = int(timed[:, Word.TIMED_SAMPLES].sum())
    return SampleLatency(
        samples=samples,
        mean_ns=int(timed[:, Word.TIMED_NS].sum()) / samples,
        p50_ns=percentile_ns(histogram, 0.5, shortest, longest),
        p99_ns=percentile_ns(histogram, 0.99, shortest, longest),
        max_ns=longest,
    )


def _hit_ratio(board: Board) -> float | None:
    """Return the share of the page bytes that the kernel did not fetch, over the whole level."""
    pages = board.rows[:, Word.PAGE_BYTES]
    if not board.rows[:, Word.COUNTED].all() or not pages.sum():
        return None
    missed = np.minimum(board.rows[:, Word.FETCHED_BYTES], pages)
    return float(1 - missed.sum() / pages.sum())


def _operations(table: pa.Table) -> dict[str, LevelOperations]:
    """Return the steady operations of all processes, by kind."""
    rows = [row for row in table.to_pylist() if row["phase"] == Phase.STEADY and row["count"]]
    return {kind.label: _merged(of_kind) for kind in Kind if (of_kind := [row for row in rows if row["kind"] == kind])}


def _merged(rows: list[dict[str, object]]) -> LevelOperations:
    def total(name: str) -> int:
        return sum(int(str(row[name])) for row in rows)

    histogram = np.zeros(BUCKETS, dtype=np.int64)
    for row in rows:
        buckets = np.asarray(row["buckets"], dtype=np.int64)[:BUCKETS]
        histogram[: len(buckets)] += buckets
    shortest = min(int(str(row["min_ns"])) for row in rows)
    longest = max(int(str(row["max_ns"])) for row in rows)
    return LevelOperations(
        count=total("count"),
        bytes=total("bytes"),
        errors=total("errors"),
        mean_ns=total("total_ns") / total("count"),
        p50_ns=percentile_ns(histogram, 0.5, shortest, longest),
        p99_ns=percentile_ns(histogram, 0.99, shortest, longest),
    )
