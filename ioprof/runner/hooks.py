"""What may happen between two steps besides waiting for data."""

from __future__ import annotations

from typing import Protocol


class StepHook(Protocol):
    """Called by the step loop, in its thread; what a call takes, the accelerator stands still."""

    def after_step(self, step: int) -> int | None:
        """Do what is due after ``step``; return when the loop may go on, or None if it was not held up.

        Raises:
            IoprofError: the run cannot go on.
        """
        ...

    def finish(self) -> None:
        """The last step is done: end what is under way.

        Raises:
            IoprofError: it failed.
        """
        ...
