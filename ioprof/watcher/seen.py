"""What the taps see of one process that makes watched batches, given to its trace batch by batch."""

from __future__ import annotations

from ioprof.capture import Capture, start
from ioprof.capture.capture import own_calls
from ioprof.capture.taps import TAPS, Total
from ioprof.host.family_io import FamilyIo
from ioprof.host.thread_accounting import IoCounters, ProcessIo
from ioprof.trace.recorder import Recorder


class SeenReads:
    """The taps of this process, and the kernel's count without what is no data: what `BatchTrace` asks for both."""

    def __init__(self, *, in_consumer: bool) -> None:
        """Prepare; `begin` puts the taps in place.

        Args:
            in_consumer: the process does other things beside making batches, which are not the loader's.
        """
        self._in_consumer = in_consumer
        self._kernel = ProcessIo() if in_consumer else FamilyIo()
        self._capture: Capture | None = None
        self._tapped = self._touched = 0

    def begin(self, recorder: Recorder) -> None:
        """Begin to see."""
        self._capture = start(recorder, with_children=not self._in_consumer)

    def read(self) -> IoCounters | None:
        """Return the kernel's count now, less what the taps know to be no data; None where it shows none."""
        # Asked first: what the asking reads is not yet in the kernel's answer.
        excluded = self._capture.excluded_bytes if self._capture is not None else 0
        with own_calls():
            counters = self._kernel.read()
        if self._capture is not None:
            # What is mapped at the end may be gone, and the end is not seen of a worker that is killed.
            self._capture.note_uncounted()
        return None if counters is None else counters._replace(rchar=counters.rchar - excluded)

    def batch_begins(self) -> None:
        """Forget what the consumer did since its last batch; a worker does nothing else."""
        if self._in_consumer:
            TAPS.take()

    def batch_made(self, recorder: Recorder) -> None:
        """Give the recorder what was seen since the last time."""
        if self._capture is None:
            return
        self._capture.hand_over()
        tally = recorder.tally
        tapped, touched = self._capture.tapped_bytes, self._capture.totals.sum(Total.TOUCHED)
        tally.tapped_bytes += tapped - self._tapped
        tally.tapped_page_bytes += tapped - self._tapped
        tally.touched_page_bytes += touched - self._touched
        self._tapped, self._touched = tapped, touched

    def end(self) -> None:
        """Take the taps away."""
        if self._capture is not None:
            self._capture.close()

    def close(self) -> None:
        """Release what is kept open."""
        self._kernel.close()
