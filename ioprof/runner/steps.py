"""The step loop: wait for a batch, copy it over, be busy with it, and write down when."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ioprof.accelerator.base import Accelerator
from ioprof.clock import now_ns
from ioprof.contract import Batch
from ioprof.errors import TooManyErrorsError
from ioprof.runner.hooks import StepHook
from ioprof.trace.batch_row import batch_row
from ioprof.trace.raw import EPOCHS
from ioprof.trace.recordlog import RecordLog
from ioprof.trace.schema import BATCHES, STEPS

LEAST_ROOM_BYTES = 1 << 20
"""With less than this left on the disk of the results, a run ends while all that it measured can still be kept."""
_LOOK_NS = 1_000_000_000
"""How often it is looked at."""


class StepLoop:
    """Drives one rank's accelerator through epochs and records every step and batch."""

    def __init__(
        self, raw_dir: Path, accelerator: Accelerator, *, rank: int, max_errors: int, hooks: Sequence[StepHook] = ()
    ) -> None:
        """Create the rank's log files.

        Args:
            raw_dir: the run's raw files.
            accelerator: what uses the batches.
            rank: which accelerator it is.
            max_errors: failed samples the run may lose.
            hooks: what may happen after each step.

        Raises:
            OSError: the results disk is full.
        """
        self._accelerator = accelerator
        self._rank = rank
        self._max_errors = max_errors
        self._hooks = hooks
        self._steps = RecordLog(raw_dir / f"steps-{rank}.log", STEPS)
        self._batches = RecordLog(raw_dir / f"batches-{rank}.log", BATCHES)
        self._epochs = RecordLog(raw_dir / f"epochs-{rank}.log", EPOCHS)
        self._raw_dir = raw_dir
        self._look_at_ns = 0
        self.step = 0
        self.errors = 0

    def run_epoch(self, epoch: int, batches: Iterator[Batch]) -> int:
        """Use up one epoch's batches; return how many there were.

        Raises:
            TooManyErrorsError: more samples failed than the run may lose.
            IoprofError: as a hook's `after_step`.
            OSError: the results disk is full.
        """
        first = self.step
        start_ns = wait_start_ns = now_ns()
        self._epochs.append(epoch, 0, start_ns)
        for batch in batches:
            wait_start_ns = self._step(epoch, batch, wait_start_ns, now_ns())
            del batch  # its shared memory must be free before the next one is waited for
            for hook in self._hooks:
                wait_start_ns = hook.after_step(self.step - 1) or wait_start_ns
            if wait_start_ns >= self._look_at_ns:
                self._look_at_ns = wait_start_ns + _LOOK_NS
                self._see_room()
        self._epochs.append(epoch, 1, now_ns())
        return self.step - first

    def _see_room(self) -> None:
        """See that the disk of the results is not full: what finds out by itself may write again only much later.

        Raises:
            OSError: it is.
        """
        left = os.statvfs(self._raw_dir)
        # File systems that do not say how large they are report no blocks at all.
        if left.f_blocks and left.f_bavail * left.f_frsize < LEAST_ROOM_BYTES:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._raw_dir))

    def finish(self) -> None:
        """Tell the hooks that the last step is done.

        Raises:
            IoprofError: as a hook's `finish`.
        """
        for hook in self._hooks:
            hook.finish()

    def _step(self, epoch: int, batch: Batch, wait_start_ns: int, wait_end_ns: int) -> int:
        """Copy, compute, record; return the stamp at which the accelerator fell idle."""
        self._accelerator.transfer(batch.size_bytes)
        h2d_end_ns = now_ns()
        self._accelerator.compute()
        busy_end_ns = now_ns() if self._accelerator.busy_ns_per_batch is not None else h2d_end_ns
        self._steps.append(
            self._rank, epoch, self.step, batch.number, batch.worker, batch.samples, batch.size_bytes,
            wait_start_ns, wait_end_ns, h2d_end_ns, h2d_end_ns, busy_end_ns,
        )  # fmt: skip
        self._batches.append(*batch_row(self._rank, epoch, batch, wait_end_ns))
        self.step += 1
        self.errors += batch.errors
        if self.errors > self._max_errors:
            raise TooManyErrorsError(
                f"{self.errors} samples could not be read, more than --max-errors {self._max_errors} allows; "
                "what was measured is kept (ioprof report shows the errors by kind)"
            )
        return busy_end_ns

    def close(self) -> None:
        """Release the log files."""
        for log in (self._steps, self._batches, self._epochs):
            log.close()
