"""What consumes batches, as the step loop sees it."""

from __future__ import annotations

from typing import Protocol


class Accelerator(Protocol):
    """Takes batches one after another; used from one thread, the one that calibrated it."""

    @property
    def busy_ns_per_batch(self) -> int | None:
        """Busy time asked for each batch in ns; None where the accelerator is never busy."""
        ...

    def calibrate(self) -> None:
        """Measure what the model must know of this host; called once, in the thread of the step loop."""
        ...

    def transfer(self, size_bytes: int) -> None:
        """Return when ``size_bytes`` are on the device; at once where no copy is modelled."""
        ...

    def compute(self) -> None:
        """Return when the device has finished one batch."""
        ...
