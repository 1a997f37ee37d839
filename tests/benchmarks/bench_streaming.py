"""Streaming through ioprof against a bare sequential read of the same shards: read size, processes and cache alike.

    python tests/benchmarks/bench_streaming.py --formats tar,raw --loaders processes --repeats 5

Sides take turns. Bare is what `dd` does: processes that each read every Nth shard front to back, by preadv into one
buffer that is used again. It has no samples and delivers nothing, so with a warm cache, where reading is copying
memory, its rate is out of reach for anything that hands samples on: "rotating" is the same with another place for every
read, which is the least that delivering costs. Cold is after fadvise(DONTNEED) on every shard before each run. A
side's rate is the sum over its processes of bytes over time: for ioprof's workers from the end of the first batch to
the end of the last one, so that what starting up costs is outside on both sides. The goal is 0.90 of bare; of
`tar-shards` it is 0.80 warm, and five times what webdataset's own pipeline gives of the same shards, where it is
installed.
"""

from __future__ import annotations

import argparse
import functools
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from multiprocessing.synchronize import Barrier
from pathlib import Path

from ioprof.dataset.prepare import Prepared, prepare
from ioprof.runner.observer import Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.runner.record import Recording
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve
from ioprof.store.page_cache import evict
from ioprof.trace.reader import load_trace
from ioprof.units import parse_bytes

_ROTATING_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Bench:
    """One format's shards, and what reads them."""

    plan: RunPlan
    prepared: Prepared
    workers: int
    read_bytes: int

    @property
    def root(self) -> str:
        """Where the shards are."""
        return str(self.prepared.store.local_root)

    def paths(self) -> list[str]:
        """Return the shards."""
        return [f"{self.root}/{self.plan.layout.path(shard)}" for shard in range(self.plan.layout.count)]

    def evict(self) -> None:
        """Drop all shards from the page cache."""
        evict(self.root, self.plan.layout.path, self.plan.layout.count, lambda _: None)

    def under_ioprof(self) -> float:
        """Return bytes per second of one recorded epoch, summed over its workers."""
        recording = Recording(self.plan, self.prepared, ["bench"], Silent())
        recording.run()
        made: dict[int, list[tuple[int, int]]] = {}
        for row in load_trace(recording.directory).batches.to_pylist():
            made.setdefault(row["worker"], []).append((row["collate_end_ns"], row["bytes"]))
        total = 0.0
        for batches in made.values():
            batches.sort()
            total += sum(size for _, size in batches[1:]) / ((batches[-1][0] - batches[0][0]) / 1e9)
        return total

    def bare(self, buffers: int) -> float:
        """Return bytes per second of plain processes, summed over them."""
        return self._by_processes(functools.partial(_read_all, read_bytes=self.read_bytes, buffers=buffers))

    def by_webdataset(self) -> float:
        """Return bytes of samples per second of processes that iterate over webdataset's own pipeline, summed."""
        return self._by_processes(_read_by_webdataset)

    def _by_processes(self, read: Callable[[list[str]], int]) -> float:
        context = multiprocessing.get_context("fork")
        barrier, ends = context.Barrier(self.workers + 1), context.Queue()
        paths = self.paths()
        children = [
            context.Process(target=_timed, args=(read, paths[worker :: self.workers], barrier, ends))
            for worker in range(self.workers)
        ]
        for child in children:
            child.start()
        barrier.wait()
        done = [ends.get() for _ in children]
        for child in children:
            child.join()
        return float(sum(size / seconds for size, seconds in done))


def _timed(
    read: Callable[[list[str]], int], paths: list[str], barrier: Barrier, ends: multiprocessing.Queue[tuple[int, float]]
) -> None:
    barrier.wait()
    start = time.perf_counter()
    total = read(paths)
    ends.put((total, time.perf_counter() - start))


def _read_all(paths: list[str], read_bytes: int, buffers: int) -> int:
    places = [memoryview(bytearray(read_bytes)) for _ in range(buffers)]
    total = turn = 0
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        offset = 0
        while got := os.preadv(descriptor, (places[turn],), offset):
            offset += got
            turn = (turn + 1) % buffers
        os.close(descriptor)
        total += offset
    return total


def _read_by_webdataset(paths: list[str]) -> int:
    import webdataset

    samples = webdataset.WebDataset(paths, shardshuffle=False, nodesplitter=lambda urls: urls)
    return sum(len(content) for sample in samples for content in sample.values() if isinstance(content, bytes))


def bench_of(name: str, loader: str, scratch: Path, options: argparse.Namespace) -> Bench:
    """Prepare a format's shards, once for all loaders, and return what reads them."""
    spec = resolve(
        raw_spec(
            "streaming-shards",
            [
                ("store", str(scratch / "store")), ("results", str(scratch / "results")), ("format", name),
                ("loader", loader), ("shards", options.shards), ("samples-per-shard", options.samples_per_shard),
                ("sample-size", options.sample_size), ("shuffle-buffer", options.shuffle_buffer),
                ("read-size", options.read_size), ("workers", str(options.workers)), ("epochs", "1"),
                ("accelerator", "none"), ("cache", "asis"), ("warmup", "0"),
            ],
            [],
            [],
        )
    )  # fmt: skip
    plan = plan_run(spec)
    prepared = prepare(plan.store, spec.workload, plan.layout)
    return Bench(plan, prepared, options.workers, parse_bytes(options.read_size))


def compare(bench: Bench, *, cold: bool, repeats: int) -> tuple[dict[str, list[float]], list[str]]:
    """Let the sides take turns; return each one's rates and their names, bare first."""
    rotating = max(2, _ROTATING_BYTES // bench.read_bytes)
    sides: dict[str, Callable[[], float]] = {
        "bare": lambda: bench.bare(1), "rotating": lambda: bench.bare(rotating), "ioprof": bench.under_ioprof,
    }  # fmt: skip
    if getattr(bench.plan.spec.workload_params, "format", None) == "tar" and find_spec("webdataset") is not None:
        sides["webdataset"] = bench.by_webdataset
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for repeat in range(repeats + 1):
        names = list(sides)
        for name in names[repeat % len(names) :] + names[: repeat % len(names)]:
            if cold:
                bench.evict()
            rate = sides[name]()
            if repeat:  # the first round warms the cache and the imports
                rates[name].append(rate)
    return rates, list(sides)


def main() -> None:
    """Prepare, take turns, print a line per format, loader and state of the cache."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--formats", default="raw,tar,tfrecord,arrow,parquet")
    parser.add_argument("--loaders", default="processes,torch-iterable")
    parser.add_argument("--shards", default="8")
    parser.add_argument("--samples-per-shard", default="1024")
    parser.add_argument("--sample-size", default="112KiB")
    parser.add_argument("--shuffle-buffer", default="0")
    parser.add_argument("--read-size", default="1MiB")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cache", default="cold,warm")
    parser.add_argument("--scratch", default=None, help="a folder on the disk to measure")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-", dir=options.scratch) as folder:
        for name in options.formats.split(","):
            for loader in options.loaders.split(","):
                bench = bench_of(name, loader, Path(folder), options)
                for state in options.cache.split(","):
                    rates, _ = compare(bench, cold=state == "cold", repeats=options.repeats)
                    print(_line(name, loader, state, rates), flush=True)


def _line(name: str, loader: str, state: str, rates: dict[str, list[float]]) -> str:
    of_bare = [one / bare for one, bare in zip(rates["ioprof"], rates["bare"], strict=True)]
    of_rotating = [one / other for one, other in zip(rates["ioprof"], rates["rotating"], strict=True)]
    middle = {side: statistics.median(found) / 1e9 for side, found in rates.items()}
    beside = ""
    if "webdataset" in rates:
        times = [one / other for one, other in zip(rates["ioprof"], rates["webdataset"], strict=True)]
        spread = f"({min(times):.1f} - {max(times):.1f})"
        beside = f", {statistics.median(times):.1f} times webdataset's {middle['webdataset']:.2f} {spread}"
    return (
        f"{name:<9} {loader:<15} {state:<5} bare {middle['bare']:5.2f} GB/s, rotating {middle['rotating']:5.2f}, "
        f"ioprof {middle['ioprof']:5.2f}: {statistics.median(of_bare):.3f} of bare ({min(of_bare):.2f} - "
        f"{max(of_bare):.2f}, n={len(of_bare)}), {statistics.median(of_rotating):.3f} of rotating"
        f"{beside}"
    )


if __name__ == "__main__":
    main()
