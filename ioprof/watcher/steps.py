"""The steps of one watched loader: who waited how long for which batch, and how long it was then worked on."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from ioprof.contract import Batch
from ioprof.trace.batch_row import batch_row
from ioprof.trace.raw import EPOCHS
from ioprof.trace.recordlog import RecordLog
from ioprof.trace.schema import BATCHES, STEPS
from ioprof.watcher.timeline import HostTimeline, Timeline

RANK = 0
_Row = tuple[int, ...]


class StepLogs:
    """Writes down steps, batches and epochs as the consumer asks for batches and receives them.

    A step ends when the next batch is asked for. One after which nobody asks again, because the loop was left, has no
    end: it is dropped, and its batch is kept.
    """

    def __init__(self, raw: Path) -> None:
        """Create the files.

        Raises:
            OSError: the results disk is full, or not writable.
        """
        self._steps = RecordLog(raw / f"steps-{RANK}.log", STEPS)
        self._batches = RecordLog(raw / f"batches-{RANK}.log", BATCHES)
        self._epochs = RecordLog(raw / f"epochs-{RANK}.log", EPOCHS)
        self.timeline: Timeline = HostTimeline()
        self.step = 0
        self.epoch = -1
        """Of the stretch that is open; -1 before the first."""
        self._is_open = False
        self._asked_ns = 0
        self._working: _Row | None = None
        """What is known of the step that is being worked on."""
        self._marks_ns: list[int] = []
        self._pending: deque[_Row] = deque()
        """Steps whose marks the device has still before it; an empty one was dropped."""

    def begin_epoch(self, at_ns: int) -> None:
        """Open a stretch of steps without pause."""
        self.end_epoch(at_ns)
        self.epoch += 1
        self._is_open = True
        self._epochs.append(self.epoch, 0, at_ns)

    def end_epoch(self, at_ns: int, *, is_dropped: bool = False) -> None:
        """Close the stretch, and the step that is being worked on with it.

        Args:
            at_ns: now.
            is_dropped: when that step ended is not known.
        """
        if not self._is_open:
            return
        self._end_step(at_ns, is_dropped=is_dropped)
        self._is_open = False
        self._epochs.append(self.epoch, 1, at_ns)

    def asked(self, at_ns: int) -> None:
        """The consumer asks for a batch."""
        self._end_step(at_ns)
        self._asked_ns = at_ns

    def received(self, batch: Batch, at_ns: int) -> None:
        """The consumer holds a batch, of which only the stamps are looked at here."""
        self._batches.append(*batch_row(RANK, self.epoch, batch, at_ns))
        self.timeline.mark(at_ns, is_start=True)
        self._working = (
            RANK, self.epoch, self.step, batch.number, batch.worker, batch.samples, batch.size_bytes, self._asked_ns,
            at_ns,
        )  # fmt: skip
        self.step += 1

    def _end_step(self, at_ns: int, *, is_dropped: bool = False) -> None:
        if self._working is None:
            return
        self.timeline.mark(at_ns, is_start=False)
        self._pending.append(() if is_dropped else self._working)
        self._working = None
        self._write_reached(self.timeline.reached())

    def _write_reached(self, reached_ns: list[int]) -> None:
        """Write the steps that both marks of were reached; a single start waits in front of the next ones."""
        self._marks_ns += reached_ns
        while len(self._marks_ns) > 1:
            start_ns, end_ns = self._marks_ns[:2]
            del self._marks_ns[:2]
            row = self._pending.popleft()
            if row:
                self._steps.append(*row, row[-1], start_ns, end_ns)

    def close(self, at_ns: int) -> None:
        """End what is open, wait for the device to reach the last mark, and release the files; safe to call twice."""
        self.end_epoch(at_ns, is_dropped=True)
        self._write_reached(self.timeline.reached(wait=True))
        for log in (self._steps, self._batches, self._epochs):
            log.close()
