"""One schedule of 1 M batches under 3 s, and the idle time of a trace of 10 M spans charged in under 30 s and 2 GiB.

Run: python tests/benchmarks/bench_attribution.py [batches] [spans]
The trace is made by bench_analysis.py in a temporary folder, and attributed in a process of its own. Exit code 1 if a
goal was missed.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from bench_analysis import _peak_bytes, _write_run

from ioprof.analysis.attribution import attribute_idle
from ioprof.analysis.idle_if_free import idle_if_free
from ioprof.analysis.measured import measured_ranks
from ioprof.analysis.pipeline.path import critical_path
from ioprof.analysis.pipeline.pieces import STAGES, Stage
from ioprof.analysis.pipeline.recursion import schedule
from ioprof.analysis.pipeline.span_times import SpanTimes
from ioprof.analysis.pipeline.work import PipelineShape, PipelineWork
from ioprof.analysis.reasons import Reasons
from ioprof.trace.reader import load_trace

SCHEDULE_GOAL_S, TRACE_GOAL_S, GOAL_BYTES = 3.0, 30.0, 2 << 30
STEPS_OF_TRACE = 200_000
TURNS = 3
"""The best of so many counts: other programs only ever add to it."""


def main() -> int:
    """Time both, print the figures."""
    if sys.argv[1:2] == ["--child"]:
        return _attribute(Path(sys.argv[2]))
    batches, spans = (int(word) for word in (sys.argv[1:] + ["1000000", "10000000"][len(sys.argv) - 1 :]))
    met = _schedule(batches)
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-") as scratch:
        _write_run(Path(scratch), spans, min(STEPS_OF_TRACE, spans // 4))
        child = subprocess.run([sys.executable, __file__, "--child", scratch], check=False)
    return 0 if met and child.returncode == 0 else 1


def _schedule(batches: int) -> bool:
    rng = np.random.default_rng(1)
    pieces_ns = np.zeros((batches, STAGES))
    for stage in (Stage.OPEN, Stage.READ, Stage.DECODE, Stage.COLLATE, Stage.IPC):
        pieces_ns[:, stage] = rng.lognormal(0, 0.5, batches) * 1e6
    number = np.arange(batches)
    work = PipelineWork(
        batch=number, worker=number % 4, samples=np.full(batches, 64), epoch=np.zeros(batches, np.int64),
        pieces_ns=pieces_ns, unwrap_ns=np.full(batches, 2e5), busy_ns=np.full(batches, 1.2e6),
    )  # fmt: skip
    took_s: dict[str, float] = {}
    for name, in_order in (("in order", True), ("out of order", False)):
        shape = PipelineShape(workers=4, prefetch=2, in_order=in_order, pin=False, access="map")
        for _ in range(TURNS):
            started_s = time.perf_counter()
            done = schedule(work, shape)
            took_s[name] = min(took_s.get(name, math.inf), time.perf_counter() - started_s)
    started_s = time.perf_counter()
    critical_path(done)
    print(f"{batches:,} batches: in order {took_s['in order']:.2f} s (goal {SCHEDULE_GOAL_S:.0f} s), out of order "
          f"{took_s['out of order']:.2f} s, critical path {time.perf_counter() - started_s:.2f} s")  # fmt: skip
    return took_s["in order"] < SCHEDULE_GOAL_S


def _attribute(directory: Path) -> int:
    started_s = time.perf_counter()
    trace, reasons = load_trace(directory), Reasons()
    ranks = measured_ranks(trace.steps, trace.run, trace.checkpoints)
    times = SpanTimes(ranks)
    spans = sum(batch.num_rows for batch in times.watching(trace.spans()))
    causes = attribute_idle(ranks, trace, times).idle_by_cause(reasons)
    charged_s = time.perf_counter() - started_s
    idle_if_free(ranks, trace, times, causes, reasons)
    both_s, peak_bytes = time.perf_counter() - started_s, _peak_bytes()
    print(f"{spans:,} spans: charged in {charged_s:.1f} s, with idle_if_free {both_s:.1f} s "
          f"(goal {TRACE_GOAL_S:.0f} s); peak resident {peak_bytes / 2**20:.0f} MiB "
          f"(goal {GOAL_BYTES / 2**20:.0f} MiB)")  # fmt: skip
    return 0 if both_s < TRACE_GOAL_S and peak_bytes < GOAL_BYTES else 1


if __name__ == "__main__":
    sys.exit(main())
