"""An epoch as a dataset of Grain: positions in the epoch's order, mapped to samples, batched, read ahead by threads.

A thread of Grain's makes a whole batch: it reads one sample after the other and joins them. So batches have the stamps
of the thread that made them. Grain shows nobody when it hands a batch to its threads; what it does is known: as many as
its buffer holds when the first one is asked for, and one more whenever another is asked for, before it is waited for.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import grain
from ioprof.loaders.grain_stages import StageTimes
from ioprof.loaders.thread_session import ThreadMaker
from ioprof.loaders.torch_session import Envelope, unwrapped

from ioprof.clock import now_ns
from ioprof.contract import Batch, DeadWorker, Indices, LoadJob

Sample = Sequence[bytes | memoryview]
"""One sample, or none where its operations failed."""


class _Epoch:
    """What Grain calls: reads samples by their position, and joins them."""

    def __init__(self, job: LoadJob, order: Indices, epoch: int, first_number: int, maker: ThreadMaker) -> None:
        self._batch_size = job.batch_size
        self._order = order
        self._epoch = epoch
        self._first_number = first_number
        self._maker = maker

    def read(self, position: int) -> Sample:
        """Read the sample at a position; at the first of a batch, the calling thread begins that batch."""
        with self._maker.worker() as worker:
            if position % self._batch_size == 0:
                worker.trace.begin(self._epoch, self._first_number + position // self._batch_size)
            return worker.read([int(self._order[position])])

    def joined(self, samples: Sequence[Sample]) -> Envelope:
        """Join what the calling thread has read."""
        with self._maker.worker() as worker:
            return worker.sealed([content for sample in samples for content in sample])


class GrainSession:
    """An open loader whose batches Grain's threads make."""

    def __init__(self, job: LoadJob, *, threads: int, prefetch: int, stage_timing: bool = False) -> None:
        self._job = job
        self._stages = StageTimes() if stage_timing else None
        self._options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=threads * prefetch)
        self._ahead = threads * prefetch
        self._maker = ThreadMaker(job.worker)
        self._next_number = 0
        self._running: grain.DatasetIterator | None = None

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver one epoch; once the run is to stop, what Grain has read ahead is left out."""
        # The call that made Grain hand out the batch which is received: the first, or so many before the latest.
        asked_ns = deque[int](maxlen=self._ahead + 1)
        self._running = running = iter(self._dataset(epoch, self._next_number))
        if self._stages is not None:
            self._stages.follow(running)
        with closing(running):
            while not self._job.stop_requested():
                asked_ns.append(now_ns())
                envelope = next(running, None)
                if envelope is None:
                    break
                self._next_number += 1
                if self._stages is not None:
                    self._stages.note_batch()
                batch = unwrapped(envelope, lambda _: asked_ns[0])
                del envelope
                yield batch
                del batch
        self._maker.end_epoch()
        if self._stages is not None:
            self._stages.end_epoch()

    def _dataset(self, epoch: int, first_number: int) -> grain.IterDataset:
        job = self._job
        if job.order is None:
            raise TypeError("grain was given a stream, which has no order")
        order = job.order(epoch)
        made = _Epoch(job, order, epoch, first_number, self._maker)
        samples = grain.MapDataset.range(len(order)).map(made.read)
        batches = samples.batch(job.batch_size, drop_remainder=job.drop_last, batch_fn=made.joined)
        ahead = batches.to_iter_dataset(self._options)
        return ahead if self._stages is None else self._stages.tracked(ahead)

    def engine_counters(self) -> Mapping[str, float]:
        """Return what Grain counted of its stages; nothing where it was not asked to."""
        return {} if self._stages is None else self._stages.totals()

    def process_ids(self) -> list[int]:
        """Return nothing: batches are made in this process."""
        return []

    def dead_workers(self) -> list[DeadWorker]:
        """Return nothing: threads do not die alone."""
        return []

    def close(self) -> None:
        """End the epoch under way and close the traces; safe to call twice."""
        if self._running is not None:
            self._running.close()
            self._running = None
        self._maker.close()
