"""Where commands print, and what happens when nobody reads on (``| head``)."""

from __future__ import annotations

import os

from rich.console import Console


class ResultConsole(Console):
    """For results on stdout: without a reader there is nothing left to do, so the command ends (see `reported`)."""

    def on_broken_pipe(self) -> None:
        """Say so, where rich would end the program with exit code 1.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError


class TalkConsole(Console):
    """For what is said beside the work: without a reader the work goes on in silence."""

    def on_broken_pipe(self) -> None:
        """Print nothing from now on."""
        self.quiet = True
        # What is still in the file's buffer would fail again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), self.file.fileno())


def results() -> ResultConsole:
    """Return stdout for what was asked for."""
    return ResultConsole(highlight=False)


def talk() -> TalkConsole:
    """Return stderr for progress and remarks."""
    return TalkConsole(stderr=True, highlight=False)
