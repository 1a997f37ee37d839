"""Runs pipelines at the same time: each in its own process, all let go once each holds its first batch."""

from __future__ import annotations

import contextlib
import signal
from dataclasses import dataclass, replace
from multiprocessing.connection import wait

from ioprof.compound.messages import Ended, Held, Order
from ioprof.compound.run_process import RunProcess
from ioprof.runner.interrupt import Interrupted, shielded
from ioprof.spec.model import RunSpec

_UNPROBED = "it is left out in mixed runs: other pipelines would still be running"


@dataclass(frozen=True, slots=True, kw_only=True)
class PhaseEnd:
    """How the pipelines of a phase ended."""

    ended: dict[str, Ended]
    """By pipeline."""
    failed: str | None
    """The pipeline that failed first; None: none did, or a signal ended all."""
    interrupted: Interrupted | None
    """The signal that ended the phase."""


def run_phase(specs: dict[str, RunSpec], command: list[str]) -> PhaseEnd:
    """Run pipelines together until all have ended; one that fails ends the others, which keep what they measured."""
    with contextlib.ExitStack() as stack:
        # A probe beside one pipeline would load the store while the others still run.
        orders = {name: Order(spec, command, gated=True, unprobed=_UNPROBED) for name, spec in specs.items()}
        runs = {name: stack.enter_context(RunProcess(order)) for name, order in orders.items()}
        failed: str | None = None
        interrupted: Interrupted | None = None
        try:
            failed = _until_first_failure(runs)
            if failed is not None:
                _end_all(runs, signal.SIGTERM)
        except Interrupted as caught:
            interrupted = caught
            with shielded():
                _end_all(runs, caught.signum)
        ended = {name: run.ended for name, run in runs.items() if run.ended is not None}
    if failed is not None:
        ended = {name: end if name == failed else _beside(end, failed) for name, end in ended.items()}
    return PhaseEnd(ended=ended, failed=failed, interrupted=interrupted)


def _until_first_failure(runs: dict[str, RunProcess]) -> str | None:
    """Let all go once all hold their first batch, and read on until all have ended or one failed; return which."""
    held: set[str] = set()
    names = {id(run.connection): name for name, run in runs.items()}
    while going := [run.connection for run in runs.values() if run.ended is None]:
        for ready in wait(going):
            name = names[id(ready)]
            message = runs[name].receive()
            if isinstance(message, Ended) and message.problem is not None:
                return name
            if isinstance(message, Ended) and name not in held:
                runs[name].ended = replace(message, problem="it made no batch", exit_code=1)
                return name
            if isinstance(message, Held):
                held.add(name)
                if len(held) == len(runs):
                    for run in runs.values():
                        run.let_go()
    return None


def _end_all(runs: dict[str, RunProcess], signum: int) -> None:
    for run in runs.values():
        run.ask_to_end(signum)
    for run in runs.values():
        run.wait_for_end()


def _beside(end: Ended, failed: str) -> Ended:
    """Say why a pipeline was ended that had nothing wrong with it."""
    return replace(end, problem=f"ended because {failed} failed") if end.problem is not None else end
