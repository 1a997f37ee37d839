"""A run whose worker processes make some blocks of batches with tracing and others without, by turns.

Runs that follow each other meet a machine of another speed each; blocks of some hundredths of a second do not. All
arms share the worker processes, the queues, the consumer and the reader of files. What is traced is a whole recorded
run: the session below hands it the batches of the traced blocks, and consumes the others by itself, as a plain loop
would.
"""

from __future__ import annotations

import itertools
import multiprocessing
import random
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, cast

import numpy as np
from ioprof.loaders.torch_map_session import Fetched, Request, StampedBatches, TorchMapSession, TracedDataset, collate
from ioprof.loaders.torch_params import TorchLoader, TorchParams
from ioprof.loaders.torch_session import Envelope, TorchSession, joined, opened_loader
from torch.utils.data import Sampler

from ioprof.contract import Access, Batch, Capabilities, Indices, LoadJob, SampleReader, WorkerJob
from ioprof.store.object_reads import unstamped_reads
from ioprof.store.tap import Tap

Arm = Literal["traced", "bare", "bare again", "busy"]
ARMS: tuple[Arm, ...] = ("traced", "bare", "bare again", "busy")
"""With tracing; without; without once more, which must make no difference; and without, but for a known cost."""
BUSY_NS = 50_000
"""The known cost: so much CPU time is spent for nothing in the worker, batch by batch."""
LED_IN, LED_OUT = 4, 4
"""Batches of a block before and after the measured ones: those in flight meanwhile may be another arm's."""
_Untraced = tuple[list[int], bool]
"""A request that leaves no trace: sample numbers, and whether the known cost is added."""
_now_ns, _own_cpu_ns, _thread_cpu_ns = time.perf_counter_ns, time.process_time_ns, time.thread_time_ns


@dataclass(frozen=True, slots=True)
class Cost:
    """What the measured batches of one block took."""

    wall_ns: int
    consumer_ns: int
    """CPU time of the consumer's process."""
    workers_ns: int
    """CPU time of the worker processes."""


class UntracedTap:
    """Reads as ioprof's tap for local paths does, and notes nothing."""

    def __init__(self, root: str) -> None:
        self.root = root
        self._read: Callable[[Sequence[str], Sequence[int]], list[bytes]] | None = None

    def read_objects(self, paths: Sequence[str], sizes_bytes: Sequence[int], objects: Sequence[int]) -> list[bytes]:
        """Open, read and close files."""
        if self._read is None:
            self._read = unstamped_reads()
        return self._read(paths, sizes_bytes)


class EitherDataset(TracedDataset):
    """Makes a batch as ioprof's dataset does, or without any tracing, as is asked for."""

    def __init__(self, job: WorkerJob) -> None:
        super().__init__(job)
        self._bare_reader = cast("SampleReader", job.source)
        self._bare_tap = cast("Tap", UntracedTap(f"{str(job.store.local_root).rstrip('/')}/"))

    def __getitems__(self, request: Request | _Untraced) -> Fetched:
        """Read one batch of samples; without tracing what comes back is the samples alone."""
        if len(request) == 4:
            return super().__getitems__(request)
        samples, is_busy = request
        content = self._bare_reader.read(self._bare_tap, samples)
        if is_busy:
            until_ns = _thread_cpu_ns() + BUSY_NS
            while _thread_cpu_ns() < until_ns:
                pass
        return cast("Fetched", content)


def collate_either(fetched: Fetched) -> Envelope:
    """Join samples as ioprof's loader does, or into a tensor alone."""
    return collate(fetched) if type(fetched) is tuple else cast("Envelope", joined(cast("Sequence[bytes]", fetched)))


class Turns(Sampler[Request | _Untraced]):
    """Says what each batch is to be: rounds of one block of every arm, in an order that is drawn anew for each.

    Attributes:
        begun: arms of the blocks that were handed out and are not consumed yet.
    """

    def __init__(self, traced: StampedBatches, samples: Callable[[], Indices], batch_size: int, block: int) -> None:
        self.begun = deque[Arm]()
        self._traced = traced
        self._samples = samples
        self._batch_size = batch_size
        self._block = block

    def __iter__(self) -> Iterator[Request | _Untraced]:
        """Yield requests for ever."""
        for number in itertools.count():
            for arm in random.sample(ARMS, len(ARMS)):
                self.begun.append(arm)
                requests = self._stamped(number) if arm == "traced" else self._bare(is_busy=arm == "busy")
                yield from itertools.islice(requests, self._block)

    def _stamped(self, epoch: int) -> Iterator[Request]:
        self._traced.start(epoch)
        return iter(self._traced)

    def _bare(self, *, is_busy: bool) -> Iterator[_Untraced]:
        order = self._samples()
        for start in range(0, len(order), self._batch_size):
            yield order[start : start + self._batch_size].tolist(), is_busy


class Samples:
    """Deals out the samples of each block: all of the dataset in drawn order, and again from the beginning."""

    def __init__(self, samples: int, block_samples: int) -> None:
        self._order = np.random.default_rng(1).permutation(samples)
        self._block_samples = block_samples
        self._next = 0

    def __call__(self, epoch: int = 0) -> Indices:
        """Return those of the next block."""
        first, self._next = self._next, (self._next + self._block_samples) % len(self._order)
        return np.take(self._order, range(first, first + self._block_samples), mode="wrap")


class AlternatingSession(TorchMapSession):
    """Delivers the batches of traced blocks, and consumes the others.

    Attributes:
        rounds: what the blocks of each round took, by arm.
    """

    def __init__(self, job: LoadJob, params: TorchParams, *, measured: int, seconds: float) -> None:
        block = LED_IN + measured + LED_OUT
        # More batches than are asked for: what an epoch's last batch does besides, long epochs do seldom.
        samples = Samples(job.samples, (block + params.workers) * job.batch_size)
        self.rounds: list[dict[Arm, Cost]] = []
        self._measured, self._seconds = measured, seconds
        self._sampler = StampedBatches(replace(job, order=samples), params.workers)
        self._turns = Turns(self._sampler, samples, job.batch_size, block)
        dataset, turns = EitherDataset(job.worker), cast("Sampler[list[int]]", self._turns)
        loader = opened_loader(dataset, params, sampler=turns, collate=collate_either)
        TorchSession.__init__(self, dataset, loader)
        self._items: Iterator[object] = iter(())
        self._marks: list[tuple[int, int, int]] = []
        self._arm: Arm = "bare"

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver until the time is up."""
        self._items = TorchSession._started(self)
        self._clocks = [(~child.pid << 3) | 2 for child in multiprocessing.active_children() if child.pid is not None]
        """Of the CPU time of each worker, all threads together, as clock_getcpuclockid(3) tells it."""
        deadline_ns = _now_ns() + round(self._seconds * 1e9)
        for number in itertools.count():
            costs = dict[Arm, Cost]()
            for _ in ARMS:
                self._arm = self._turns.begun.popleft()
                if self._arm == "traced":
                    yield from super().batches(number)
                else:
                    for batch in self._started():
                        del batch
                costs[self._arm] = self._cost()
            self.rounds.append(costs)
            if _now_ns() > deadline_ns:
                return

    def _started(self) -> Iterator[Envelope]:
        """Return what the coming block delivers; nothing here holds on to a batch."""
        for _ in range(LED_IN):
            yield cast("Envelope", next(self._items))
        self._mark()
        for _ in range(self._measured):
            yield cast("Envelope", next(self._items))
        self._mark()
        for _ in range(LED_OUT):
            yield cast("Envelope", next(self._items))

    def _mark(self) -> None:
        workers_ns = sum(map(time.clock_gettime_ns, self._clocks))
        self._marks.append((_now_ns(), _own_cpu_ns(), workers_ns))

    def _cost(self) -> Cost:
        start, end = self._marks
        self._marks = []
        return Cost(*(after - before for before, after in zip(start, end, strict=True)))


class Alternating:
    """The loader `torch-map`, but for its session."""

    name: ClassVar[str] = "alternating"
    summary: ClassVar[str] = "traces some batches"
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = True
    accepts: ClassVar[frozenset[Access]] = frozenset({"map"})
    capabilities: ClassVar[Capabilities] = TorchLoader.capabilities
    Params = TorchParams

    def __init__(self, params: TorchParams, *, measured: int, seconds: float) -> None:
        self._params, self._measured, self._seconds = params, measured, seconds
        self.session: AlternatingSession | None = None

    def load(self) -> None:
        """Do nothing: all is imported."""

    def open(self, job: LoadJob) -> AlternatingSession:
        """Open it."""
        self.session = AlternatingSession(job, self._params, measured=self._measured, seconds=self._seconds)
        return self.session
