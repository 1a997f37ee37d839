"""`raw` under ioprof against a loop written by hand over the same files: warm cache, compute 0, by turns.

    python tests/benchmarks/bench_raw.py --files 20k --pairs 20

By hand is what a user writes who wants the files and nothing else: open, read into a buffer of the file's size, close,
in as many processes as `raw` has workers. Prints the median ratio of samples/s (ioprof / by hand) with a bootstrap
interval; the goal is 0.95 or more.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np

from ioprof.dataset.prepare import Prepared, prepare
from ioprof.runner.observer import Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.runner.record import Recording
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve
from ioprof.trace.reader import load_trace
from ioprof.units import parse_count

BATCH = 64


def read_all(paths: Sequence[str], size_bytes: int) -> None:
    """Read every file once, a batch's contents kept until the next."""
    batch: list[bytes] = []
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        batch.append(os.read(descriptor, size_bytes))
        os.close(descriptor)
        if len(batch) == BATCH:
            batch = []


def _timed(paths: Sequence[str], size_bytes: int, barrier: Barrier, ends: multiprocessing.Queue[float]) -> None:
    barrier.wait()
    start = time.perf_counter()
    read_all(paths, size_bytes)
    ends.put(time.perf_counter() - start)


def by_hand(paths: list[str], size_bytes: int, workers: int) -> float:
    """Return samples/s of plain processes that share the files, summed; of this very thread for 0 workers."""
    shuffled = random.sample(paths, len(paths))
    if not workers:
        start = time.perf_counter()
        read_all(shuffled, size_bytes)
        return len(paths) / (time.perf_counter() - start)
    context = multiprocessing.get_context("fork")
    barrier, ends = context.Barrier(workers + 1), context.Queue()
    shares = [shuffled[worker::workers] for worker in range(workers)]
    children = [context.Process(target=_timed, args=(share, size_bytes, barrier, ends)) for share in shares]
    for child in children:
        child.start()
    barrier.wait()
    took = [ends.get() for _ in children]
    for child in children:
        child.join()
    return float(sum(len(paths) / workers / seconds for seconds in took))


def under_ioprof(plan: RunPlan, prepared: Prepared) -> float:
    """Return samples/s of one recorded epoch, summed over its workers, without their first batches."""
    recording = Recording(plan, prepared, ["bench"], Silent())
    recording.run()
    ends: dict[int, list[int]] = {}
    for row in load_trace(recording.directory).batches.to_pylist():
        ends.setdefault(row["worker"], []).append(row["fetch_end_ns"])
    return float(sum((len(each) - 1) * BATCH / ((max(each) - min(each)) / 1e9) for each in ends.values()))


def main() -> None:
    """Prepare once, warm the cache, then take turns."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", default="20k")
    parser.add_argument("--file-size", default="4KiB")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--workers", default="0,1,2")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-") as scratch:
        for workers in map(int, options.workers.split(",")):
            print(compared(workers, scratch, options), flush=True)


def compared(workers: int, scratch: str, options: argparse.Namespace) -> str:
    """Return a line: both rates and their ratio, pair by pair."""
    flags = [
        ("store", f"{scratch}/store"), ("results", f"{scratch}/results"), ("files", options.files),
        ("file-size", options.file_size), ("loader", "raw"), ("workers", str(workers)),
        ("batch-size", str(BATCH)), ("epochs", "1"), ("accelerator", "none"), ("cache", "asis"), ("warmup", "0"),
    ]  # fmt: skip
    if workers:
        flags.append(("worker-type", "process"))
    spec = resolve(raw_spec("small-files", flags, [], []))
    plan = plan_run(spec)
    prepared = prepare(plan.store, spec.workload, plan.layout)
    root = Path(str(prepared.store.local_root))
    paths = [str(root / plan.layout.path(index)) for index in range(parse_count(options.files))]
    size_bytes = int(plan.layout.sizes(0, 1)[0])
    hand, ours = list[float](), list[float]()
    for pair in range(options.pairs + 1):
        rates = {}
        for side in random.sample(("hand", "ours"), 2):
            rates[side] = by_hand(paths, size_bytes, workers) if side == "hand" else under_ioprof(plan, prepared)
        if pair:  # the first pair warms the cache and the imports
            hand.append(rates["hand"])
            ours.append(rates["ours"])
    ratios = np.array(ours) / np.array(hand)
    drawn = np.random.default_rng(1).choice(ratios, (4000, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return (
        f"{workers} workers: by hand {statistics.median(hand):,.0f}/s, raw {statistics.median(ours):,.0f}/s; "
        f"median ratio {np.median(ratios):.3f} (95 % {low:.3f} - {high:.3f}, n={len(ratios)}); goal >= 0.95"
    )


if __name__ == "__main__":
    main()
