"""A lane's process: repeats its scripts epoch by epoch, and tells of each batch."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from ioprof.contract import WorkerJob
from ioprof.errors import IoprofError
from ioprof.host.parent_death import become_worker
from ioprof.replay.player import Means, Piece, Player, StoppedError
from ioprof.replay.script import Script
from ioprof.trace.batch_trace import BatchTrace


class Word(IntEnum):
    """The first of each message that a lane sends."""

    READY = 0
    """For the next epoch; nothing follows."""
    MADE = 1
    """A batch; its packed stamps follow."""
    THROUGH = 2
    """The lane's part of the epoch; nothing follows."""
    FAILED = 3
    """The lane ends: one line that says why, and where, follow."""


class Shared(Protocol):
    """Integers in memory that all processes share: what `multiprocessing.RawArray` returns."""

    def __getitem__(self, index: int) -> int: ...

    def __setitem__(self, index: int, value: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LanePlan:
    """All a lane's process is started with; picklable while a process is being started."""

    job: WorkerJob
    lane: int
    means: Means
    scripts: Sequence[tuple[Script, Sequence[Piece]]]
    """One for each epoch in which the lane does something."""
    orders: Connection
    """From which each epoch comes, with what is added to its recorded time."""
    told: Connection
    stop: Shared
    """One integer: other than 0 where the run ends before its time."""
    not_ours: tuple[Connection, ...]
    """Ends of pipes that a forked process has inherited and must not keep open."""


def late_path(trace_dir: str, lane: int) -> Path:
    """Return where a lane notes how late each of its units was: integers of eight bytes, in nanoseconds."""
    return Path(trace_dir) / f"late-{lane}.i64"


def work(plan: LanePlan) -> None:
    """Be a lane until the orders end; what fails is told to whoever gave them."""
    become_worker()
    for end in plan.not_ours:
        end.close()
    trace = player = None
    try:
        trace = BatchTrace(plan.job, plan.lane)
        player = Player(trace, plan.means, lambda: plan.stop[0] != 0)
        _follow_orders(plan, player)
    except (StoppedError, BrokenPipeError):
        return
    except Exception as error:  # noqa: BLE001 - whatever it is, the consumer raises it
        _tell_failure(plan, error)
    finally:
        if player is not None:
            player.close()
        if trace is not None:
            trace.close()


def _follow_orders(plan: LanePlan, player: Player) -> None:
    scripts = {script.epoch: (script, pieces) for script, pieces in plan.scripts}
    while True:
        plan.told.send((Word.READY,))
        try:
            epoch, shift_ns = plan.orders.recv()
        except EOFError:
            return
        if epoch in scripts:
            _play(plan, player, *scripts[epoch], shift_ns)
        plan.told.send((Word.THROUGH,))


def _play(plan: LanePlan, player: Player, script: Script, pieces: Sequence[Piece], shift_ns: int) -> None:
    with late_path(plan.job.trace_dir, plan.lane).open("ab", buffering=0) as notes:
        for stamps in player.play(script, pieces, shift_ns):
            if player.late_ns:
                notes.write(player.late_ns.tobytes())
            plan.told.send((Word.MADE, stamps.packed()))


def _tell_failure(plan: LanePlan, error: Exception) -> None:
    told = str(error) if isinstance(error, IoprofError) else f"{type(error).__name__}: {error}"
    line = " ".join(told.split()) or type(error).__name__
    try:
        plan.told.send((Word.FAILED, line, "".join(traceback.format_exception(error))))
    except BrokenPipeError:
        return
