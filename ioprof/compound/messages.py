"""What a run's own process and the one that started it tell each other; all picklable."""

from __future__ import annotations

from dataclasses import dataclass

from ioprof.spec.model import RunSpec


@dataclass(frozen=True, slots=True)
class Order:
    """First message to the run's process: what to run."""

    spec: RunSpec
    command: list[str]
    """The words that the user typed, for run.json."""
    gated: bool
    """Hold the first batch until `Go` comes."""
    unprobed: str | None = None
    """Why neither ceiling nor baselines are measured after the steps; None: as the spec says."""


@dataclass(frozen=True, slots=True)
class Go:
    """To the run's process: let the first batch through."""


@dataclass(frozen=True, slots=True)
class PhaseBegan:
    """A part of the run began."""

    text: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """The present part has done so many of its objects."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Measuring:
    """Steps began."""

    directory: str


@dataclass(frozen=True, slots=True)
class Held:
    """The first batch is there and waits for `Go`."""


@dataclass(frozen=True, slots=True)
class StepsEnded:
    """The last step is done."""


@dataclass(frozen=True, slots=True)
class Ended:
    """Last message: how the run ended."""

    directory: str | None
    """Its run directory; None where it ended before there was one."""
    problem: str | None
    """What ended it early, in one line; None: it is complete."""
    exit_code: int
    """What `ioprof run` would have ended with."""


FromRun = PhaseBegan | Advanced | Measuring | Held | StepsEnded | Ended
