"""No accelerator: batches are taken as fast as they come, and there is no utilisation to report."""

from __future__ import annotations


class NoAccelerator:
    """Does nothing with a batch."""

    busy_ns_per_batch: None = None

    def calibrate(self) -> None:
        """There is nothing to measure."""

    def transfer(self, size_bytes: int) -> None:
        """Return at once."""

    def compute(self) -> None:
        """Return at once."""
