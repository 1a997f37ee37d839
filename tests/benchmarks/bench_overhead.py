"""What tracing costs: the same loader and the same reads with and without it, warm cache, no accelerator, in turn.

    python tests/benchmarks/bench_overhead.py --file-sizes 64KiB 4KiB --pairs 20

Off: torch's DataLoader with ioprof's own order, reader and collate, and nothing that notes anything: no clock is read
around operations; no stamps, kernel counters, step log, or sampler of the host. On: a whole recorded run. A pair
is one run of each, in drawn order; it gives the ratio of samples/s (on / off) from the warm-up to the last
batch, and that of the CPU time of consumer and workers. Printed are the medians with 95 % bootstrap intervals.
It needs a quiet machine: whatever else runs there takes part. CPU time scatters less than samples/s.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, TypeVar, cast

import numpy as np
from ioprof.loaders.torch_params import TorchLoader, TorchParams
from ioprof.loaders.torch_session import joined
from torch.utils.data import DataLoader, Dataset, Sampler

from ioprof.contract import (
    Access,
    Batch,
    Capabilities,
    DeadWorker,
    Loader,
    LoaderSession,
    LoadJob,
    MapWorkload,
    SampleReader,
)
from ioprof.dataset.prepare import Prepared, prepare
from ioprof.runner.observer import Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.runner.record import Recording
from ioprof.runner.run_dataset import run_dataset
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve
from ioprof.store.object_reads import unstamped_reads
from ioprof.store.tap import Tap
from ioprof.units import parse_bytes

WARMUP = 20
RESAMPLES = 10_000
_Item = TypeVar("_Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What the measured batches of one run took."""

    wall_ns: int
    cpu_ns: int
    """Of the consumer's process and the workers."""
    batches: int


class Window:
    """Measures a run from its warm-up to its last batch, whoever makes it."""

    def __init__(self) -> None:
        self._marks: list[tuple[int, int]] = []
        self._batches = 0

    def over(self, batches: Iterator[_Item]) -> Iterator[_Item]:
        """Pass the batches on."""
        for number, batch in enumerate(batches):
            if number == WARMUP:
                self._mark()
            self._batches = number + 1 - WARMUP
            yield batch
            del batch
        self._mark()

    def _mark(self) -> None:
        self._marks.append((time.perf_counter_ns(), time.process_time_ns() + sum(map(_cpu_ns, _children()))))

    def cost(self) -> Cost:
        """Return what it took, once it is over."""
        (start_ns, start_cpu_ns), (end_ns, end_cpu_ns) = self._marks
        return Cost(wall_ns=end_ns - start_ns, cpu_ns=end_cpu_ns - start_cpu_ns, batches=self._batches)


def _children() -> list[int]:
    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]


def _cpu_ns(pid: int) -> int:
    """Return the CPU time of all threads that the process has now."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat"))


class Untraced:
    """Reads as ioprof's tap for local paths does, and notes nothing."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._read: Callable[[Sequence[str], Sequence[int]], list[bytes]] | None = None

    def read_objects(self, paths: Sequence[str], sizes_bytes: Sequence[int], objects: Sequence[int]) -> list[bytes]:
        """Open, read and close files."""
        if self._read is None:
            self._read = unstamped_reads()
        return self._read(paths, sizes_bytes)


class UntracedBatches(Dataset[Sequence[bytes | memoryview]]):
    """A batch per call of `__getitems__`, as ioprof's own dataset."""

    def __init__(self, reader: SampleReader, root: str) -> None:
        self._reader = reader
        self._tap = cast("Tap", Untraced(root))

    def __getitem__(self, samples: list[int]) -> Sequence[bytes | memoryview]:
        """Refuse: torch calls `__getitems__` where it exists."""
        raise NotImplementedError

    def __getitems__(self, samples: list[int]) -> Sequence[bytes | memoryview]:
        """Read one batch of samples."""
        return self._reader.read(self._tap, samples)


class Order(Sampler[list[int]]):
    """The samples of each batch."""

    def __init__(self, samples: np.ndarray[tuple[int], np.dtype[np.int64]], batch_size: int) -> None:
        self._samples = samples
        self._batch_size = batch_size

    def __iter__(self) -> Iterator[list[int]]:
        """Yield them as ioprof does."""
        for start in range(0, len(self._samples) - self._batch_size + 1, self._batch_size):
            yield self._samples[start : start + self._batch_size].tolist()


def tracing_off(plan: RunPlan, prepared: Prepared, epoch: int) -> Cost:
    """Return what an epoch takes without tracing."""
    workload, dataset = cast("MapWorkload", plan.workload), run_dataset(plan, prepared)
    root = f"{str(dataset.store.local_root).rstrip('/')}/"
    knobs = cast("TorchParams", plan.spec.loader_params)
    loader = DataLoader(
        UntracedBatches(workload.reader(dataset.sizes), root),
        batch_sampler=Order(workload.order(epoch), plan.spec.loader_section.batch_size), collate_fn=joined,
        num_workers=knobs.workers, prefetch_factor=knobs.prefetch, persistent_workers=knobs.persistent,
        multiprocessing_context=multiprocessing.get_context(knobs.start_method),
    )  # fmt: skip
    window = Window()
    for batch in window.over(iter(loader)):
        del batch
    del loader
    return window.cost()


class Watched:
    """A loader whose first epoch goes through a window."""

    name: ClassVar[str] = "watched"
    summary: ClassVar[str] = "measures another loader"
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = True
    accepts: ClassVar[frozenset[Access]] = frozenset({"map"})
    capabilities: ClassVar[Capabilities] = TorchLoader.capabilities
    Params = TorchParams

    def __init__(self, loader: Loader, window: Window) -> None:
        self._loader = loader
        self._window = window

    def load(self) -> None:
        """Import what it needs."""
        self._loader.load()

    def open(self, job: LoadJob) -> WatchedSession:
        """Open it."""
        return WatchedSession(self._loader.open(job), self._window)


class WatchedSession:
    """Its session."""

    def __init__(self, session: LoaderSession, window: Window) -> None:
        self._session = session
        self._window = window

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver the epoch."""
        return self._window.over(self._session.batches(epoch))

    def process_ids(self) -> list[int]:
        """Return the workers."""
        return self._session.process_ids()

    def dead_workers(self) -> list[DeadWorker]:
        """Return those that died."""
        return self._session.dead_workers()

    def close(self) -> None:
        """Close it."""
        self._session.close()


def tracing_on(plan: RunPlan, prepared: Prepared) -> Cost:
    """Return what an epoch takes in a recorded run."""
    window = Window()
    watched = replace(plan, loader=Watched(plan.loader, window))
    Recording(watched, prepared, ["bench"], Silent()).run()
    return window.cost()


def median_with_interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Return the median and its 95 % bootstrap interval."""
    drawn = np.random.default_rng(1).choice(ratios, (RESAMPLES, len(ratios)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return float(np.median(ratios)), float(low), float(high)


def plan_of(file_size: str, files: str, workers: int, store: str, results: str) -> RunPlan:
    """Return a run that only reads, as fast as it can."""
    flags = [
        ("store", store), ("files", files), ("file-size", file_size), ("workers", str(workers)), ("epochs", "1"),
        ("accelerator", "none"), ("batch-size", "64"), ("cache", "asis"), ("results", results),
    ]  # fmt: skip
    return plan_run(resolve(raw_spec("small-files", flags, [f"run.warmup={WARMUP}", "run.probe=false"], [])))


def compare(plan: RunPlan, prepared: Prepared, pairs: int) -> None:
    """Print every pair, and what they say together."""
    rates, cpu, batches = list[float](), list[float](), 0
    for pair in range(pairs + 1):
        cost = dict[str, Cost]()
        for side in random.sample(("on", "off"), 2):
            cost[side] = tracing_on(plan, prepared) if side == "on" else tracing_off(plan, prepared, 0)
        on, off, batches = cost["on"], cost["off"], cost["on"].batches
        if pair == 0:
            continue  # warms the page cache and the imports
        rates.append(off.wall_ns / on.wall_ns)
        cpu.append(on.cpu_ns / off.cpu_ns)
        print(f"  pair {pair}: off {_per_batch(off)}, on {_per_batch(on)}", flush=True)
    loss, low, high = median_with_interval([1 - rate for rate in rates])
    more, least, most = median_with_interval([ratio - 1 for ratio in cpu])
    print(
        f"tracing takes {loss:.1%} of samples/s (95 % interval {low:.1%} to {high:.1%}), and {more:.1%} more CPU time "
        f"({least:.1%} to {most:.1%}); {pairs} pairs of {batches} batches"
    )


def _per_batch(cost: Cost) -> str:
    return f"{cost.wall_ns / cost.batches / 1e3:.0f} µs per batch ({cost.cpu_ns / cost.batches / 1e3:.0f} on CPU)"


def main() -> None:
    """Prepare a dataset of each size and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file-sizes", nargs="+", default=["64KiB", "4KiB"])
    parser.add_argument("--dataset-size", default="1GiB", help="of each file size, but 100,000 files at most")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", default=None, help="where the datasets and runs are made, and removed")
    options = parser.parse_args()
    for file_size in options.file_sizes:
        files = min(100_000, parse_bytes(options.dataset_size) // parse_bytes(file_size))
        with tempfile.TemporaryDirectory(prefix="ioprof-bench-", dir=options.folder) as scratch:
            plan = plan_of(file_size, str(files), options.workers, f"{scratch}/store", f"{scratch}/results")
            prepared = prepare(plan.store, plan.spec.workload, plan.layout)
            print(f"{files:,} files of {file_size}, {options.workers} workers, {options.pairs} pairs")
            compare(plan, prepared, options.pairs)


if __name__ == "__main__":
    main()
