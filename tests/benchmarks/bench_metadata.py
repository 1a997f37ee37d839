"""`metadata-storm` under ioprof against bare os calls: the same names, mix, processes and batches.

    python tests/benchmarks/bench_metadata.py --files 20k --pairs 9

Two sides take turns. By hand: forked processes that do the operations of the mix in loops of os calls, nothing else;
every path, also of names that are made, stands in a list before the clock starts. Under ioprof: a whole run with the
loader `processes`, its measured window. The goal is a ratio of 0.85: at least so many operations per second of bare
ones. Beside it stands the same ratio of operations per second of the workers' CPU time: on a machine that others use
too, rates by the wall clock tell of them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from ioprof.workloads.metadata_storm import MetadataStorm
from ioprof.workloads.name_area import ATTRIBUTE

from ioprof import api
from ioprof.dataset.prepare import Prepared, prepare
from ioprof.runner.observer import Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve

BATCH = 1000
STOCK = 100
WARMUP_BATCHES = 20
Rates = tuple[float, float]
"""Operations per second of time, all workers together, and per second of one worker's CPU time."""


class BareWorker:
    """One process's operations as lists of paths, batch by batch."""

    def __init__(self, workload: MetadataStorm, root: str, area: str, numbers: list[list[int]]) -> None:
        os.makedirs(area)
        self._layout = workload.layout()
        self._root = root
        self._names = workload._mix.names
        self._stops = workload._mix.stops(workload.samples())
        self._area = area
        self._made = 0
        self._files = self._new(STOCK)
        self._directories = self._new(STOCK)
        self._attributed = self._new(STOCK)
        for path in (*self._files, *self._attributed):
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
        for path in self._attributed:
            os.setxattr(path, ATTRIBUTE, b"1")
        for path in self._directories:
            os.mkdir(path)
        self.batches = [self._planned(batch) for batch in numbers]

    def _new(self, count: int) -> list[str]:
        self._made += count
        return [f"{self._area}/{number}" for number in range(self._made - count, self._made)]

    def _planned(self, batch: list[int]) -> list[tuple[str, list[str], list[str]]]:
        which = np.searchsorted(self._stops, batch, side="right")
        planned = []
        for place, name in enumerate(self._names):
            mine = [number for number, found in zip(batch, which.tolist(), strict=True) if found == place]
            if mine:
                planned.append(self._paths(name, mine))
        return planned

    def _paths(self, name: str, mine: list[int]) -> tuple[str, list[str], list[str]]:
        count, new = len(mine), list[str]()
        if name in ("stat", "open"):
            paths = self._layout.paths([number * 7919 % self._layout.count for number in mine], f"{self._root}/")
        elif name == "list":
            leaves = self._layout.naming.leaf_directories
            paths = [f"{self._root}/{self._layout.naming.directory(number % leaves)}" for number in mine]
        elif name in ("getxattr", "setxattr"):
            paths = [self._attributed[number % STOCK] for number in mine]
        elif name in ("create", "mkdir"):
            paths = self._new(count)
            (self._files if name == "create" else self._directories).extend(paths)
        elif name == "rename":
            paths, new = self._files[:count], self._new(count)
            self._files[:count] = []
            self._files.extend(new)
        else:
            stock = self._files if name == "unlink" else self._directories
            paths = stock[:count]
            stock[:count] = []
        return name, paths, new

    def run(self) -> Rates:
        """Do all batches; return operations per second after the warm-up."""
        start, start_cpu, done = time.perf_counter(), time.thread_time(), 0
        for number, batch in enumerate(self.batches):
            if number == WARMUP_BATCHES:
                start, start_cpu = time.perf_counter(), time.thread_time()
            for name, paths, new in batch:
                _do(name, paths, new)
                done += len(paths) if number >= WARMUP_BATCHES else 0
        return done / (time.perf_counter() - start), done / (time.thread_time() - start_cpu)


def _do(name: str, paths: list[str], new: list[str]) -> None:
    """Do one name's operations of a batch, each in the barest loop there is."""
    if name in ("open", "create"):
        flags = os.O_RDONLY if name == "open" else os.O_CREAT | os.O_EXCL | os.O_WRONLY
        for path in paths:
            os.close(os.open(path, flags | os.O_CLOEXEC))
    elif name == "rename":
        for old, path in zip(paths, new, strict=True):
            os.rename(old, path)
    elif name in ("getxattr", "setxattr"):
        _attributes(name, paths)
    else:
        call: Callable[[str], object] = {
            "stat": os.stat, "list": os.listdir, "unlink": os.unlink, "mkdir": os.mkdir, "rmdir": os.rmdir,
        }[name]  # fmt: skip
        for path in paths:
            call(path)


def _attributes(name: str, paths: list[str]) -> None:
    if name == "getxattr":
        for path in paths:
            os.getxattr(path, ATTRIBUTE)
    else:
        for path in paths:
            os.setxattr(path, ATTRIBUTE, b"1")


def by_hand(plan: RunPlan, prepared: Prepared, workers: int, turn: int) -> Rates:
    """Return the rates of forked processes, each doing its own batches in turn."""
    workload, root = plan.workload, str(prepared.store.local_root)
    assert isinstance(workload, MetadataStorm)
    order = workload.order(0).tolist()
    batches = [order[start : start + BATCH] for start in range(0, len(order) - BATCH + 1, BATCH)]
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(workers), context.SimpleQueue()
    area = Path(root).parent / f"bare-{turn}"

    def work(worker: int) -> None:
        bare = BareWorker(workload, root, f"{area}/{worker}", batches[worker::workers])
        barrier.wait()
        results.put(bare.run())

    processes = [context.Process(target=work, args=(worker,)) for worker in range(workers)]
    for process in processes:
        process.start()
    rates = [results.get() for _ in processes]
    for process in processes:
        process.join()
    shutil.rmtree(area)
    return sum(rate for rate, _ in rates), statistics.mean(of_cpu for _, of_cpu in rates)


def under_ioprof(plan: RunPlan, prepared: Prepared) -> Rates:
    """Return the rates of a run's measured window: operations of the mix, as the bare loop counts them."""
    found = api.record_and_load(plan, prepared, ["bench"], Silent()).summary
    assert found.samples_per_s is not None
    assert found.cpu.on_cpu_s is not None
    return found.samples_per_s, found.samples / found.cpu.on_cpu_s


def main() -> None:
    """Prepare once, then alternate; which side begins is drawn by lot."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", default="20k")
    parser.add_argument("--operations", default="200k")
    parser.add_argument("--mix", default=None)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-") as scratch:
        flags = [
            ("store", options.store or f"{scratch}/store"), ("files", options.files), ("epochs", "1"),
            ("operations", options.operations), ("workers", str(options.workers)), ("batch-size", str(BATCH)),
            ("scan-at-epoch-start", "false"), ("results", f"{scratch}/results"), ("warmup", str(2 * WARMUP_BATCHES)),
        ]  # fmt: skip
        flags += [("mix", options.mix)] if options.mix else []
        plan = plan_run(resolve(raw_spec("metadata-storm", flags, [], [])))
        prepared = prepare(plan.store, "metadata-storm", plan.layout)
        ratios: list[tuple[float, float]] = []
        for pair in range(options.pairs + 1):
            sides = [partial(by_hand, plan, prepared, options.workers, pair), partial(under_ioprof, plan, prepared)]
            order = [0, 1] if random.random() < 0.5 else [1, 0]
            rates = dict(zip(order, [sides[side]() for side in order], strict=True))
            if pair == 0:
                continue  # warms caches and imports
            bare, ours = rates[0], rates[1]
            ratios.append((ours[0] / bare[0], ours[1] / bare[1]))
            print(
                f"pair {pair}: by hand {bare[0]:,.0f}/s, under ioprof {ours[0]:,.0f}/s, ratio {ratios[-1][0]:.4f}; "
                f"per CPU second {bare[1]:,.0f} and {ours[1]:,.0f}, ratio {ratios[-1][1]:.4f}",
                flush=True,
            )
        for place, what in enumerate(("operations/s", "operations per CPU second")):
            found = [ratio[place] for ratio in ratios]
            quarters = statistics.quantiles(found, n=4)
            print(
                f"{what}: median ratio {statistics.median(found):.4f} "
                f"(quartiles {quarters[0]:.4f} - {quarters[2]:.4f}, n={len(found)}); goal >= 0.85"
            )


if __name__ == "__main__":
    main()
