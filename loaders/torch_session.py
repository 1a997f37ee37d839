"""What open torch DataLoaders have in common, hooked only at torch's public seams.

The dataset traces what it reads and seals the stamps of each batch into an envelope; the consumer unwraps it.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.queues
import multiprocessing.util
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from ioprof.loaders.worker_process import end_workers
from torch._utils import ExceptionWrapper
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from ioprof.contract import Batch, DeadWorker, EpochEnder, WorkerJob, dead_among
from ioprof.errors import RunError
from ioprof.host.parent_death import become_worker
from ioprof.runner.interrupt import shielded
from ioprof.trace.batch_trace import BatchStamps, BatchTrace

if TYPE_CHECKING:
    from ioprof.loaders.torch_params import TorchParams

Envelope = tuple[torch.Tensor, bytes]
"""What travels to the consumer. The stamps go packed: a class of our own would be looked up by name on both sides of
the queue, and even plain numbers cost more there than all else that is done with them."""
_Item = TypeVar("_Item")
_SHM_FULL = (
    "; /dev/shm is full: give it more room (docker run --shm-size), "
    "or use fewer --workers, a smaller --batch-size or --prefetch"
)


class TracedSource:
    """The part of a dataset that records what it reads in the process where it runs; picklable before that."""

    def __init__(self, job: WorkerJob) -> None:
        self.job = job
        self._trace: BatchTrace | None = None

    def open_trace(self, worker: int) -> None:
        """Start recording in this process."""
        self._trace = BatchTrace(self.job, worker)

    def close_trace(self) -> None:
        """Stop recording, if it ever began here."""
        if self._trace is not None:
            self._trace.close()
            self._trace = None

    def note_last_io(self) -> None:
        """No more batches are asked for: end the kernel's count, if batches are made in this process."""
        if self._trace is not None:
            self._trace.note_last_io()

    @property
    def trace(self) -> BatchTrace:
        """This process's trace.

        Raises:
            RuntimeError: it was not opened.
        """
        if self._trace is None:
            raise RuntimeError("the worker's trace was not opened: worker_init_fn did not run")
        return self._trace


def joined(samples: Sequence[bytes | memoryview]) -> torch.Tensor:
    """Join samples into one uint8 tensor, a row per sample where all have one size."""
    tensor = torch.frombuffer(bytearray().join(samples) or bytearray(1), dtype=torch.uint8)
    if samples and len(set(map(len, samples))) == 1:
        tensor = tensor.view(len(samples), -1)
    return tensor


def start_worker(worker: int) -> None:
    """Set a worker up: it leaves Ctrl-C to the consumer, dies with it, and opens its trace."""
    become_worker()
    info = get_worker_info()
    dataset: object = info.dataset if info is not None else None
    if not isinstance(dataset, TracedSource):
        raise TypeError(f"worker {worker} was started for {type(dataset).__name__}, not for ioprof's dataset")
    dataset.open_trace(worker)
    if isinstance(dataset.job.source, EpochEnder):
        multiprocessing.util.Finalize(None, _hand_over, args=(dataset,), exitpriority=1)
    sys.excepthook = _show_unless_consumer_left
    # This process's class only. Python's own hook prints the error and drops the batch: the consumer waits for ever.
    multiprocessing.queues.Queue._on_queue_feeder_error = _send_instead  # type: ignore[attr-defined]


def _hand_over(source: TracedSource) -> None:
    """End a worker that may hold something back, undisturbed by torch, which ends one that takes five seconds."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    source.close_trace()


def _show_unless_consumer_left(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Show an error that no one else does, unless it is that the consumer hung up.

    A thread of Python's passes the descriptors of shared memory on. A consumer that is interrupted while it fetches
    one leaves it a broken connection, and it would print a traceback over the end of the run.
    """
    if not isinstance(error, ConnectionError | EOFError):
        sys.__excepthook__(kind, error, trace)


def _send_instead(queue: multiprocessing.queues.Queue[object], error: Exception, unsent: tuple[int, object]) -> None:
    """Send the consumer an error in place of a batch that could not be moved to shared memory."""
    told = RunError(
        f"a batch could not be sent to the consumer: {' '.join(str(error).split())}"
        + (_SHM_FULL if "shared memory" in str(error) else "")
    )
    sent = ExceptionWrapper((RunError, told, None), where="while sending a batch")  # type: ignore[no-untyped-call]
    queue.put((unsent[0], sent))


def opened_loader(
    dataset: Dataset[_Item],
    params: TorchParams,
    *,
    sampler: Sampler[list[int]] | None,
    collate: Callable[[_Item], Envelope],
    kind: type[DataLoader[_Item]] = DataLoader,
) -> DataLoader[_Item]:
    """Return the DataLoader that these knobs describe.

    Args:
        dataset: what workers read.
        params: the knobs.
        sampler: what says which samples make a batch; None where the dataset yields whole batches.
        collate: what makes an envelope of what one fetch returned.
        kind: torch's own class, or another library's that is built with the same words.
    """
    parallel = params.workers > 0
    return kind(
        dataset,
        batch_size=None if sampler is None else 1,
        batch_sampler=sampler,
        # torch types collate's input as a list of items; it is whatever the dataset's fetch returns.
        collate_fn=cast("Callable[[list[_Item]], Envelope]", collate),
        num_workers=params.workers,
        prefetch_factor=params.prefetch if parallel else None,
        persistent_workers=params.persistent and parallel,
        pin_memory=params.pin,
        multiprocessing_context=multiprocessing.get_context(params.start_method) if parallel else None,
        in_order=params.in_order,
        worker_init_fn=start_worker,
    )


def unwrapped(envelope: Envelope, dispatch_ns: Callable[[BatchStamps], int]) -> Batch:
    """Return the batch in an envelope; ``dispatch_ns`` tells when it was handed out."""
    data, packed = envelope
    stamps = BatchStamps.unpacked(packed)
    return stamps.batch(data, dispatch_ns(stamps))


def _nothing() -> None:
    """Shut nothing down: no worker was started."""


class TorchSession:
    """An open DataLoader and its workers: how they are found, and how they end."""

    def __init__(self, source: TracedSource, loader: DataLoader[_Item]) -> None:
        self._source = source
        self._loader = loader
        self._workers: list[BaseProcess] = []
        self._shut_down: Callable[[], None] = _nothing
        if loader.num_workers == 0:
            source.open_trace(-1)

    def _started(self) -> Iterator[Envelope]:
        """Begin an epoch."""
        # Broken off half-way, workers would be left that nobody knows of.
        with shielded():
            iterator = iter(self._loader)
            # torch keeps the iterator of persistent workers only; workers of one epoch must be found as well.
            self._workers = getattr(iterator, "_workers", [])
            self._shut_down = getattr(iterator, "_shutdown_workers", _nothing)
        return cast("Iterator[Envelope]", iterator)

    def process_ids(self) -> list[int]:
        """Return the children of this process that torch started."""
        return [child.pid for child in multiprocessing.active_children() if child.pid is not None]

    def dead_workers(self) -> list[DeadWorker]:
        """Return the workers that a signal or an error code ended."""
        return dead_among(self._workers)

    def close(self) -> None:
        """Shut the workers down, those of an epoch left half-way included."""
        # torch reports a dead worker from a signal handler, which may strike here too; the workers are then
        # terminated, and only remain to be awaited.
        with contextlib.suppress(RuntimeError):
            self._shut_down()
        end_workers(self._workers, self._source.job)
        self._workers, self._shut_down = [], _nothing
        self._loader._iterator = None
        self._source.close_trace()
