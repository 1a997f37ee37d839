"""One worker's part of a stream, put together batch by batch: shared by all loaders that deliver streams."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ioprof.contract import Part, SampleStream
from ioprof.trace.batch_trace import BatchTrace


class PartBatches:
    """Makes the batches of one epoch's part, in the process that reads it.

    A batch begins before its first sample is asked for, so what a stream reads ahead (an index, a shuffle buffer)
    belongs to the batch that waited for it. The last batch of every part may be incomplete; it is that one, and not
    the last of the epoch, that ``drop_last`` leaves out. Its operations stay recorded, under a number that no
    delivered batch has.
    """

    def __init__(
        self, trace: BatchTrace, stream: SampleStream, epoch: int, part: Part, *, batch_size: int, drop_last: bool
    ) -> None:
        self._trace = trace
        self._stream = stream
        self._epoch = epoch
        self._part = part
        self._batch_size = batch_size
        self._drop_last = drop_last
        self._samples: Iterator[bytes | memoryview] | None = None
        self._is_through = False

    def next_samples(self, number: int) -> list[bytes | memoryview] | None:
        """Read the samples of batch ``number``; the caller joins them and ends the trace's batch.

        None where the part is through. A batch may hold fewer samples than asked for where operations failed, none
        at all included: its errors must reach the consumer.
        """
        if self._is_through:
            return None
        trace = self._trace
        failed_before = trace.tap.failed_samples
        trace.begin(self._epoch, number)
        if self._samples is None:
            self._samples = iter(self._stream.samples(trace.tap, self._epoch, self._part))
        samples = list(islice(self._samples, self._batch_size))
        if len(samples) < self._batch_size:
            self._is_through = True
            trace.end_epoch()
            tried = len(samples) + trace.tap.failed_samples - failed_before
            if tried < (self._batch_size if self._drop_last else 1):
                trace.fetched()
                trace.end(0)
                return None
        trace.fetched()
        return samples
