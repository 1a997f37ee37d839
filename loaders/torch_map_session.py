"""An open torch DataLoader, hooked only at its public seams.

The batch sampler stamps dispatch, the dataset stamps fetch, the collate function stamps collate and returns the
batch in an envelope that also carries the worker's counters; the consumer unwraps it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.connection
import multiprocessing.queues
import signal
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, cast

import torch
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from ioprof.clock import now_ns
from ioprof.contract import Batch, DeadWorker, Indices, LoadJob, SampleReader, WorkerJob
from ioprof.errors import RunError
from ioprof.host.parent_death import die_with_parent
from ioprof.trace.batch_trace import BatchStamps, BatchTrace

if TYPE_CHECKING:
    from ioprof.loaders.torch_map import TorchMapParams

Request = tuple[int, int, list[int]]
"""Epoch, batch number, sample numbers: what the sampler hands to a worker."""
Fetched = tuple[BatchTrace, Sequence[bytes | memoryview]]
"""What the dataset hands to `collate`, in one worker: its trace and the samples."""
Envelope = tuple[torch.Tensor, tuple[int, ...]]
"""What travels to the consumer. The stamps go as a plain tuple: a class of our own would be looked up by name on both
sides of the queue, which costs more than all of its content; and torch pins tuples by itself."""
_DYING_S = 0.5
"""How long a worker whose connection broke may take until its end is known."""
_SHM_FULL = (
    "; /dev/shm is full: give it more room (docker run --shm-size), "
    "or use fewer --workers, a smaller --batch-size or --prefetch"
)
_CLOSING_S = 5.0
"""How long a worker that was told to end is awaited; one stuck in the kernel (a dead file server) never ends."""


class TracedDataset(Dataset[Fetched]):
    """Reads whole batches of samples inside a worker; picklable, opens its files where it runs."""

    def __init__(self, job: WorkerJob) -> None:
        self._job = job
        self._reader = cast("SampleReader", job.source)
        self.trace: BatchTrace | None = None

    def open_trace(self, worker: int) -> None:
        """Start recording in this process."""
        self.trace = BatchTrace(self._job, worker)

    def __getitem__(self, request: Request) -> Fetched:
        """Refuse: torch calls `__getitems__` where it exists."""
        raise NotImplementedError("TracedDataset is read batch by batch")

    def __getitems__(self, request: Request) -> Fetched:
        """Read one batch of samples; hand them to `collate` with this process's trace."""
        trace = self.trace
        if trace is None:
            raise RuntimeError("the worker's trace was not opened: worker_init_fn did not run")
        epoch, number, samples = request
        trace.begin(epoch, number)
        content = self._reader.read(trace.tap, samples)
        trace.fetched()
        return trace, content


class StampedBatches(Sampler[Request]):
    """The batch sampler: says which samples make a batch and when it was handed out."""

    def __init__(self, job: LoadJob) -> None:
        self._job = job
        self._order = _order_of(job)
        self._next_number = 0
        self._epoch = 0
        self.dispatched_ns: dict[int, int] = {}

    def start(self, epoch: int) -> None:
        """Say which epoch the next iteration is."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[Request]:
        """Yield requests until the epoch is through or the run wants to stop."""
        order = self._order(self._epoch)
        size = self._job.batch_size
        stop = len(order) - len(order) % size if self._job.drop_last else len(order)
        for start in range(0, stop, size):
            if self._job.stop_requested():
                return
            number = self._next_number
            self._next_number += 1
            self.dispatched_ns[number] = now_ns()
            yield self._epoch, number, order[start : start + size].tolist()


def _order_of(job: LoadJob) -> Callable[[int], Indices]:
    if job.order is None:
        raise TypeError("torch-map was given a stream, which has no order")
    return job.order


def collate(fetched: Fetched) -> Envelope:
    """Join samples into one uint8 tensor, a row per sample where all have one size, and seal the stamps."""
    trace, samples = fetched
    joined = torch.frombuffer(bytearray().join(samples) or bytearray(1), dtype=torch.uint8)
    if samples and len(set(map(len, samples))) == 1:
        joined = joined.view(len(samples), -1)
    return joined, tuple(trace.end(len(samples)))


def start_worker(worker: int) -> None:
    """Set a worker up: it leaves Ctrl-C to the consumer, dies with it, and opens its trace."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    die_with_parent()
    info = get_worker_info()
    dataset = info.dataset if info is not None else None
    if not isinstance(dataset, TracedDataset):
        raise TypeError(f"worker {worker} was started for {type(dataset).__name__}, not for ioprof's dataset")
    dataset.open_trace(worker)
    # This process's class only. Python's own hook prints the error and drops the batch: the consumer waits for ever.
    multiprocessing.queues.Queue._on_queue_feeder_error = _send_instead  # type: ignore[attr-defined]


def _send_instead(queue: multiprocessing.queues.Queue[object], error: Exception, unsent: tuple[int, object]) -> None:
    """Send the consumer an error in place of a batch that could not be moved to shared memory."""
    told = RunError(
        f"a batch could not be sent to the consumer: {' '.join(str(error).split())}"
        + (_SHM_FULL if "shared memory" in str(error) else "")
    )
    sent = ExceptionWrapper((RunError, told, None), where="while sending a batch")  # type: ignore[no-untyped-call]
    queue.put((unsent[0], sent))


def _nothing() -> None:
    """Shut nothing down: no worker was started."""


class TorchMapSession:
    """An open torch DataLoader."""

    def __init__(self, job: LoadJob, params: TorchMapParams) -> None:
        self._sampler = StampedBatches(job)
        self._dataset = TracedDataset(job.worker)
        parallel = params.workers > 0
        # torch types a sampler's items as lists and collate's input as a list of items. What it hands through are
        # whatever the sampler yields and `__getitems__` returns, which here are a request and what was fetched.
        self._loader: DataLoader[Fetched] = DataLoader(
            self._dataset,
            batch_sampler=cast("Sampler[list[int]]", self._sampler),
            collate_fn=cast("Callable[[list[Fetched]], Envelope]", collate),
            num_workers=params.workers,
            prefetch_factor=params.prefetch if parallel else None,
            persistent_workers=params.persistent and parallel,
            pin_memory=params.pin,
            multiprocessing_context=multiprocessing.get_context(params.start_method) if parallel else None,
            in_order=params.in_order,
            worker_init_fn=start_worker,
        )
        self._workers: list[BaseProcess] = []
        self._shut_down: Callable[[], None] = _nothing
        if not parallel:
            self._dataset.open_trace(-1)

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver one epoch, unwrapping each envelope."""
        self._sampler.start(epoch)
        for envelope in self._started():
            batch = self._unwrapped(envelope)
            # Drop this frame's hold on the data: its shared memory must be free before the next one is waited for.
            del envelope
            yield batch
            del batch

    def _started(self) -> Iterator[Envelope]:
        # torch keeps the iterator of persistent workers only; workers of one epoch must be found as well.
        iterator = iter(self._loader)
        self._workers = getattr(iterator, "_workers", [])
        self._shut_down = getattr(iterator, "_shutdown_workers", _nothing)
        return cast("Iterator[Envelope]", iterator)

    def _unwrapped(self, envelope: Envelope) -> Batch:
        data, fields = envelope
        stamps = BatchStamps(*fields)
        return Batch(
            data=data,
            number=stamps.number,
            worker=stamps.worker,
            samples=stamps.samples,
            size_bytes=stamps.size_bytes,
            errors=stamps.errors,
            dispatch_ns=self._sampler.dispatched_ns.pop(stamps.number, -1),
            fetch_start_ns=stamps.fetch_start_ns,
            fetch_end_ns=stamps.fetch_end_ns,
            collate_end_ns=stamps.collate_end_ns,
            storage_ns=stamps.storage_ns,
            prep_ns=stamps.prep_ns,
            on_cpu_ns=stamps.on_cpu_ns,
            run_queue_ns=stamps.run_queue_ns,
        )

    def process_ids(self) -> list[int]:
        """Return the children of this process that torch started."""
        return [child.pid for child in multiprocessing.active_children() if child.pid is not None]

    def dead_workers(self) -> list[DeadWorker]:
        """Return the workers that a signal or an error code ended."""
        alive = [worker.sentinel for worker in self._workers if worker.exitcode is None]
        if alive and len(alive) == len(self._workers):
            # A connection breaks a little before the process that held it has ended.
            multiprocessing.connection.wait(alive, timeout=_DYING_S)
        return [
            DeadWorker(worker=number, pid=worker.pid, exit_code=worker.exitcode)
            for number, worker in enumerate(self._workers)
            if worker.pid is not None and worker.exitcode
        ]

    def close(self) -> None:
        """Shut the workers down, those of an epoch left half-way included."""
        # torch reports a dead worker from a signal handler, which may strike here too; the workers are then
        # terminated, and only remain to be awaited.
        with contextlib.suppress(RuntimeError):
            self._shut_down()
        for worker in self._workers:
            worker.join(_CLOSING_S)
        self._workers, self._shut_down = [], _nothing
        self._loader._iterator = None
        if self._dataset.trace is not None:
            self._dataset.trace.close()
            self._dataset.trace = None
