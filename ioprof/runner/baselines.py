"""A run's loader with one part taken out: without worker processes, or without a store.

Both deliver as fast as they are asked: nothing takes time between two batches.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from pydantic import BaseModel, ValidationError

from ioprof.clock import now_ns
from ioprof.contract import (
    Batch,
    EpochReader,
    EpochStart,
    Indices,
    Loader,
    LoadJob,
    MapWorkload,
    Part,
    SampleReader,
    SampleStream,
    StreamWorkload,
    WorkerJob,
)
from ioprof.errors import CaveatWarning
from ioprof.plugins import find_loader
from ioprof.probe.pattern import FIRST_EPOCH
from ioprof.runner.plan import RunPlan
from ioprof.runner.run_dataset import RunDataset
from ioprof.runner.source import source_of, stored_of
from ioprof.store.local_tap import tap_store
from ioprof.store.tap import Tap
from ioprof.trace.probe_record import BaselineRecord
from ioprof.trace.recorder import Recorder

FEWEST_BATCHES = 5
"""Fewer batches than this are no rate."""
MOST_TIMES = 2
"""A baseline whose batches are slow may take so many times as long as it should."""
_LENGTHS = 32
"""Samples that are read to know how long those of the dataset are."""
_LENGTHS_NS = 300_000_000
_SPAN_BUDGET = 1000


class MemoryReader:
    """Stands for a workload's reader: samples of the same lengths, out of one buffer; picklable."""

    def __init__(self, lengths: list[int]) -> None:
        """Say how long samples are; sample i is as long as entry i, modulo their number."""
        self._lengths = lengths
        self._content: memoryview | None = None

    def __reduce__(self) -> tuple[type[MemoryReader], tuple[list[int]]]:
        return MemoryReader, (self._lengths,)

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[memoryview]:
        """Return a view for each sample; the tap is not used."""
        return [self.sample(number) for number in samples]

    def sample(self, number: int) -> memoryview:
        """Return one sample."""
        if self._content is None:
            # Written to, or all of it would be one page of zeros that the CPU never has to fetch.
            longest = max(self._lengths)
            self._content = memoryview((bytes(range(256)) * (longest // 256 + 1))[:longest])
        return self._content[: self._lengths[number % len(self._lengths)]]


class MemoryStream:
    """Stands for a workload's stream, likewise; picklable."""

    def __init__(self, lengths: list[int], samples: int) -> None:
        self._reader = MemoryReader(lengths)
        self._samples = samples

    def samples(self, tap: Tap, epoch: int, part: Part) -> Iterator[memoryview]:
        """Yield one part's share of the samples."""
        return map(self._reader.sample, range(part.index, self._samples, part.count))


def without_workers(
    plan: RunPlan, dataset: RunDataset, order: Callable[[int], Indices] | None, duration_ns: int
) -> BaselineRecord:
    """Return what the run's loader delivers in the consumer's own process, decoding included.

    Args:
        plan: the run's parts.
        dataset: its dataset, in the state of the page cache that is wanted.
        order: samples of an epoch; None for streams.
        duration_ns: how long to read.
    """
    params = plan.spec.loader_params
    if "workers" not in type(params).model_fields:
        return _unknown(f"{plan.spec.loader} has no worker processes to leave out")
    try:
        alone = type(params).model_validate(params.model_dump() | {"workers": 0})
    except ValidationError:
        return _unknown(f"{plan.spec.loader} needs worker processes")
    loader = find_loader(plan.spec.loader)(alone)
    source = source_of(plan.workload, dataset.sizes)
    # Nothing is made before it is asked for; the first batch pays for what is opened once.
    return _delivered(plan, dataset, loader, source, order, duration_ns, ahead=1, epochs=1)[0]


def fed_from_memory(plan: RunPlan, dataset: RunDataset, duration_ns: int) -> BaselineRecord:
    """Return what the run's loader delivers of samples that are in memory already: the price of moving them."""
    return _fed_from_memory(plan, dataset, plan.loader, _made_ahead(plan.spec.loader_params), duration_ns)


def fed_to_one_worker(plan: RunPlan, dataset: RunDataset, duration_ns: int) -> BaselineRecord | None:
    """Return the same of the run's loader with one worker process, for a run without any; None: it had some, or cannot.

    What moving a batch would take is not to be seen in such a run.
    """
    params = plan.spec.loader_params
    if getattr(params, "workers", None) != 0:
        return None
    try:
        one = type(params).model_validate(params.model_dump() | {"workers": 1})
    except ValidationError:
        return None
    return _fed_from_memory(plan, dataset, find_loader(plan.spec.loader)(one), _made_ahead(one), duration_ns)


def _fed_from_memory(
    plan: RunPlan, dataset: RunDataset, loader: Loader, ahead: int, duration_ns: int
) -> BaselineRecord:
    if loader.capabilities.formats:
        return _unknown(f"{plan.spec.loader} reads the store by itself, whatever it is given to read with")
    lengths = _lengths(plan, dataset)
    if not lengths:
        return _unknown("no sample could be read to know how long they are")
    source: SampleReader | SampleStream = MemoryReader(lengths)
    order = None
    if plan.workload.access == "stream":
        source = MemoryStream(lengths, plan.workload.samples())
    else:
        order = cast("MapWorkload", plan.workload).order
    found, read_bytes = _delivered(plan, dataset, loader, source, order, duration_ns, ahead=ahead, epochs=None)
    if read_bytes:
        return _unknown(f"{plan.spec.loader} reads the store by itself, whatever it is given to read with")
    return found


def _unknown(reason: str, seconds: float = 0.0, batches: int = 0) -> BaselineRecord:
    return BaselineRecord(samples_per_s=None, seconds=seconds, batches=batches, reason=reason)


def _lengths(plan: RunPlan, dataset: RunDataset) -> list[int]:
    """Return the lengths that the workload's reader delivers, from some samples."""
    with tempfile.TemporaryDirectory(prefix="ioprof-probe-") as trace_dir:
        recorder = Recorder(trace_dir, rank=0, worker=-1, span_budget=_SPAN_BUDGET)
        tap = tap_store(dataset.store, recorder)
        try:
            return _some_lengths(plan, dataset, tap)
        finally:
            tap.close()
            recorder.close()


def _some_lengths(plan: RunPlan, dataset: RunDataset, tap: Tap) -> list[int]:
    deadline_ns, lengths = now_ns() + _LENGTHS_NS, list[int]()
    for content in itertools.islice(_some_samples(plan, dataset, tap), _LENGTHS):
        lengths.append(len(content))
        if now_ns() > deadline_ns:
            break
    return lengths


def _some_samples(plan: RunPlan, dataset: RunDataset, tap: Tap) -> Iterator[bytes | memoryview]:
    if plan.workload.access == "stream":
        stream = cast("StreamWorkload", plan.workload).stream(dataset.sizes)
        yield from stream.samples(tap, FIRST_EPOCH, Part(index=0, count=1))
        return
    workload = cast("MapWorkload", plan.workload)
    reader = workload.reader(dataset.sizes)
    if isinstance(reader, EpochReader):
        # Some open here what they read from.
        reader.begin_epoch(tap, EpochStart(epoch=FIRST_EPOCH, rank=0, worker=-1, scratch=""))
    for sample in workload.order(FIRST_EPOCH)[:_LENGTHS].tolist():
        yield from reader.read(tap, [sample])


def _delivered(
    plan: RunPlan,
    dataset: RunDataset,
    loader: Loader,
    source: SampleReader | SampleStream,
    order: Callable[[int], Indices] | None,
    duration_ns: int,
    *,
    ahead: int,
    epochs: int | None,
) -> tuple[BaselineRecord, int]:
    """Take batches as fast as they come; return their rate, and the bytes that were read from the store for them."""
    over = False
    section = plan.spec.loader_section
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", CaveatWarning)
        trace_dir = stack.enter_context(tempfile.TemporaryDirectory(prefix="ioprof-probe-"))
        worker = WorkerJob(
            source=source, store=dataset.store, trace_dir=trace_dir, rank=0, warmup_batches=0, span_budget=_SPAN_BUDGET
        )
        job = LoadJob(
            worker=worker,
            order=order,
            samples=plan.workload.samples(),
            batch_size=section.batch_size,
            drop_last=section.drop_last,
            stop_requested=lambda: over,
            stored=stored_of(plan.workload, dataset.sizes),
        )
        session = loader.open(job)
        stack.callback(session.close)
        numbers = itertools.count(FIRST_EPOCH) if epochs is None else range(FIRST_EPOCH, FIRST_EPOCH + epochs)
        batches = itertools.chain.from_iterable(session.batches(epoch) for epoch in numbers)
        found = _rate(batches, ahead, duration_ns)
        over = True
    return found


def _made_ahead(params: BaseModel) -> int:
    """Return how many batches of a loader may be there before the first is taken."""
    return max(1, int(getattr(params, "workers", 0)) * int(getattr(params, "prefetch", 0)))


def _rate(batches: Iterator[Batch], ahead: int, duration_ns: int) -> tuple[BaselineRecord, int]:
    """Return samples/s between the last batch that was made ahead and the last one that was taken, and bytes read."""
    start_ns = from_ns = now_ns()
    taken = samples = read_bytes = 0
    end_ns = start_ns
    for batch in batches:
        end_ns = now_ns()
        # Workers that are spawned take longer to come up than all the rest does.
        start_ns = start_ns if taken else end_ns
        taken, read_bytes = taken + 1, read_bytes + batch.size_bytes
        if taken <= ahead:
            from_ns = end_ns
        else:
            samples += batch.samples
        # Its shared memory must be free before the next one is waited for.
        del batch
        spent_ns = end_ns - start_ns
        enough = taken - ahead >= FEWEST_BATCHES
        if spent_ns >= (duration_ns if enough else MOST_TIMES * duration_ns):
            break
    counted, seconds = max(0, taken - ahead), (end_ns - from_ns) / 1e9
    if counted < FEWEST_BATCHES or seconds <= 0:
        why = f"only {counted} batches came that were not made ahead; {FEWEST_BATCHES} are needed"
        return _unknown(why, seconds, counted), read_bytes
    return BaselineRecord(samples_per_s=samples / seconds, seconds=seconds, batches=counted), read_bytes
