"""Analysis of a large trace: 10 M spans and 200,000 steps must take under 20 s and under 2 GiB resident.

Run: python tests/benchmarks/bench_analysis.py [spans] [steps]
Writes a synthetic run directory to a temporary folder (about 160 MB of disk), then loads and summarises it in
a process of its own, and prints what that took. Exit code 1 if a goal was missed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))
from trace_builder import MS, OVERHEAD, kernel_io, operation_row, run_record, table

from ioprof.analysis.summarise import summarise
from ioprof.trace.kinds import Kind
from ioprof.trace.reader import load_trace
from ioprof.trace.run_record import EpochRecord
from ioprof.trace.rundir import write_run_json
from ioprof.trace.schema import BATCHES, HOST, OPERATIONS, SPANS, STEPS

GOAL_S = 20.0
GOAL_BYTES = 2 << 30
WORKERS, PREFETCH = 4, 2
KINDS = (Kind.OPEN, Kind.READ, Kind.CLOSE, Kind.DECODE)
CHUNK = 1 << 20


def main() -> int:
    """Make the run, analyse it in a child, print the figures."""
    if sys.argv[1:2] == ["--child"]:
        return _child(Path(sys.argv[2]))
    spans, steps = (int(word) for word in (sys.argv[1:] + ["10000000", "200000"][len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-") as scratch:
        started_s = time.perf_counter()
        _write_run(Path(scratch), spans, steps)
        size_bytes = sum(path.stat().st_size for path in Path(scratch).iterdir())
        print(f"made {spans:,} spans, {steps:,} steps, {size_bytes / 1e6:.0f} MB "
              f"in {time.perf_counter() - started_s:.1f} s")  # fmt: skip
        return subprocess.run([sys.executable, __file__, "--child", scratch], check=False).returncode


def _child(directory: Path) -> int:
    started_s = time.perf_counter()
    trace = load_trace(directory)
    loaded_s = time.perf_counter()
    summary = summarise(trace)
    ended_s = time.perf_counter()
    peak_bytes = _peak_bytes()
    print(f"load {loaded_s - started_s:.2f} s, summarise {ended_s - loaded_s:.2f} s (goal {GOAL_S:.0f} s); "
          f"peak resident {peak_bytes / 2**20:.0f} MiB (goal {GOAL_BYTES / 2**20:.0f} MiB)")  # fmt: skip
    print(summary.verdict.sentence)
    return 0 if ended_s - started_s < GOAL_S and peak_bytes < GOAL_BYTES else 1


def _peak_bytes() -> int:
    """Return this program's own peak: ru_maxrss would start with that of the process that started it."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError("/proc/self/status has no VmHWM: this kernel does not say what a process needed at its peak")
    return int(found[1]) * 1024


def _write_run(directory: Path, spans: int, steps: int) -> None:
    rng = np.random.default_rng(1)
    stamps = _stamps(rng, steps)
    end = int(stamps["busy_end_ns"][-1])
    run = run_record(
        warmup_steps=10, kernel_io=kernel_io(), overhead=OVERHEAD,
        epochs=[EpochRecord(epoch=0, start_ns=0, end_ns=end)],
    )  # fmt: skip
    write_run_json(directory, run)
    for name, schema in (("steps", STEPS), ("batches", BATCHES)):
        zeros = np.zeros(steps, np.int64)
        arrays = [pa.array(stamps.get(field.name, zeros)).cast(field.type) for field in schema]
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), directory / f"{name}.parquet")
    rows = [operation_row(kind, _durations(rng, spans // len(KINDS)).tolist(), size=4096) for kind in KINDS]
    pq.write_table(table(OPERATIONS, rows), directory / "operations.parquet")
    pq.write_table(HOST.empty_table(), directory / "host.parquet")
    with pq.ParquetWriter(directory / "spans.parquet", SPANS, compression="zstd") as writer:
        for start in range(0, spans, CHUNK):
            writer.write_table(_spans(rng, start, min(CHUNK, spans - start), spans // steps))


def _durations(rng: np.random.Generator, count: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return (rng.lognormal(0, 0.6, count) * 100_000).astype(np.int64)


def _spans(rng: np.random.Generator, start: int, count: int, per_batch: int) -> pa.Table:
    numbers = np.arange(start, start + count)
    durations = _durations(rng, count)
    columns = {
        "worker": numbers // per_batch % WORKERS,
        "batch": numbers // per_batch,
        "kind": np.array([int(kind) for kind in KINDS])[numbers % len(KINDS)],
        "start_ns": numbers * 100_000 + rng.integers(0, 50_000, count),
        "duration_ns": durations,
        "bytes": np.where(numbers % len(KINDS) == 1, 4096, 0),
        "object": rng.integers(0, 1_000_000, count),
    }
    zeros = np.zeros(count, np.int64)
    arrays = [pa.array(columns.get(field.name, zeros)).cast(field.type) for field in SPANS]
    return pa.Table.from_arrays(arrays, schema=SPANS)


def _stamps(rng: np.random.Generator, steps: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
    """Return the stamps of a storage-bound pipeline: the recursion of DESIGN, in order."""
    storage = (rng.lognormal(0, 0.5, steps) * 36 * MS).astype(np.int64)
    prep, compute, ahead = 6 * MS, 10 * MS, WORKERS * PREFETCH
    names = (
        "dispatch_ns",
        "fetch_start_ns",
        "fetch_end_ns",
        "collate_end_ns",
        "wait_start_ns",
        "wait_end_ns",
    )
    stamp = {name: np.zeros(steps, np.int64) for name in names}
    held, made, free = [0] * steps, [0] * steps, 0
    for k, storage_ns in enumerate(storage.tolist()):
        dispatch = held[k - ahead] if k >= ahead else 0
        start = max(dispatch, made[k - WORKERS] if k >= WORKERS else 0)
        made[k] = start + storage_ns + prep
        held[k] = max(free, made[k])
        for name, value in zip(names, (dispatch, start, made[k], made[k], free, held[k]), strict=True):
            stamp[name][k] = value
        free = held[k] + compute
    received = stamp["wait_end_ns"]
    return stamp | {
        "step": np.arange(steps), "batch": np.arange(steps), "worker": np.arange(steps) % WORKERS,
        "samples": np.full(steps, 64),
        "h2d_end_ns": received, "busy_start_ns": received, "received_ns": received,
        "busy_end_ns": received + compute, "storage_ns": storage, "prep_ns": np.full(steps, prep),
        "on_cpu_ns": np.full(steps, prep), "blocked_ns": storage,
    }  # fmt: skip


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    sys.exit(main())
