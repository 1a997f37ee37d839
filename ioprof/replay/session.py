"""The consumer's side of a replay: starts the lanes' processes, lets each epoch begin at once, takes their batches."""

from __future__ import annotations

import ctypes
import multiprocessing
import multiprocessing.connection
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ioprof.clock import now_ns
from ioprof.contract import Batch, DeadWorker, LoadJob, StartMethod
from ioprof.errors import RunError
from ioprof.replay.lane_process import LanePlan, Shared, Word, late_path, work
from ioprof.replay.player import Means, Piece
from ioprof.replay.script import Script
from ioprof.runner.interrupt import shielded
from ioprof.trace.batch_trace import BatchStamps

if TYPE_CHECKING:
    from multiprocessing.context import SpawnContext

_HEAD_START_NS = 30_000_000
"""From the order until the first operation is due: all lanes have heard it by then."""
_CLOSING_S = 5.0
_DYING_S = 0.5


class LaneTraceback(Exception):  # noqa: N818 - where an error came from, not an error of its own
    """Where a lane failed, as its own process saw it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """All that is played: the lanes' scripts, each with its batches."""

    scripts: Sequence[tuple[Script, Sequence[Piece]]]
    lanes: int
    means: Means
    start_method: StartMethod = "fork"

    def begin_ns(self, epoch: int) -> int:
        """Return when an epoch's first operation began, on the recorded clock."""
        return min(int(script.start_ns[0]) for script, _ in self.scripts if script.epoch == epoch)


@dataclass(slots=True)
class _Lane:
    process: BaseProcess
    orders: Connection
    told: Connection


@dataclass(slots=True)
class ReplaySession:
    """Lanes' processes, started with the first epoch and kept until `close`."""

    job: LoadJob
    score: Score
    late_ns: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    """How late each unit was; known once it is closed, and empty where the pace has no times."""
    _lanes: list[_Lane] = field(default_factory=list)
    _stop: Shared | None = None

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Deliver the batches of an epoch as they are made, whatever their order.

        Raises:
            RunError: a lane failed.
            EOFError: a lane ended without a word.
        """
        if not self._lanes:
            self._start()
        waiting = {lane.told: lane for lane in self._lanes}
        for lane in self._lanes:
            self._hear(lane, Word.READY)
        order = (epoch, now_ns() + _HEAD_START_NS - self.score.begin_ns(epoch))
        for lane in self._lanes:
            lane.orders.send(order)
        while waiting:
            for told in multiprocessing.connection.wait(list(waiting)):
                word, *rest = self._message(waiting[cast("Connection", told)])
                if word == Word.THROUGH:
                    del waiting[cast("Connection", told)]
                else:
                    yield BatchStamps.unpacked(cast("bytes", rest[0])).batch(None, -1)

    def _hear(self, lane: _Lane, wanted: Word) -> None:
        word, *_ = self._message(lane)
        if word != wanted:
            raise RunError(f"a lane of the replay said {word} in place of {wanted.name}")

    def _message(self, lane: _Lane) -> tuple[object, ...]:
        message = cast("tuple[object, ...]", lane.told.recv())
        if message[0] == Word.FAILED:
            number = self._lanes.index(lane)
            error = RunError(f"lane {number} of the replay failed: {message[1]}; what was measured is kept")
            error.__cause__ = LaneTraceback(str(message[2]))
            raise error
        return message

    def _start(self) -> None:
        # The stubs of all three contexts have `Process`; that of what they have in common has not.
        context = cast("SpawnContext", multiprocessing.get_context(self.score.start_method))
        self._stop = cast("Shared", context.RawArray(ctypes.c_int64, 1))
        # Broken off half-way, a process would be left that nobody knows of.
        with shielded():
            for lane in range(self.score.lanes):
                self._lanes.append(self._started(context, lane, self._stop))

    def _started(self, context: SpawnContext, lane: int, stop: Shared) -> _Lane:
        orders, to_lane = context.Pipe(duplex=False)
        from_lane, told = context.Pipe(duplex=False)
        ours = (to_lane, from_lane, *(end for one in self._lanes for end in (one.orders, one.told)))
        plan = LanePlan(
            job=self.job.worker,
            lane=lane,
            means=self.score.means,
            scripts=[(script, pieces) for script, pieces in self.score.scripts if script.lane == lane],
            orders=orders,
            told=told,
            stop=stop,
            not_ours=ours if self.score.start_method == "fork" else (),
        )
        process = context.Process(target=work, args=(plan,), name=f"ioprof-lane-{lane}", daemon=True)
        try:
            process.start()
        finally:
            orders.close()
            told.close()
        return _Lane(process, to_lane, from_lane)

    def process_ids(self) -> list[int]:
        """Return the processes alive now."""
        return [one.process.pid for one in self._lanes if one.process.pid is not None and one.process.is_alive()]

    def dead_workers(self) -> list[DeadWorker]:
        """Return the lanes that a signal or an error code ended; waits a moment for one that is about to end."""
        deadline_s = time.monotonic() + _DYING_S
        while all(one.process.exitcode is None for one in self._lanes) and time.monotonic() < deadline_s:
            multiprocessing.connection.wait([one.process.sentinel for one in self._lanes], timeout=0.01)
        return [
            DeadWorker(worker=number, pid=one.process.pid, exit_code=one.process.exitcode)
            for number, one in enumerate(self._lanes)
            if one.process.pid is not None and one.process.exitcode
        ]

    def close(self) -> None:
        """End the lanes, kill those that the store keeps, and take in what they noted; safe to call twice."""
        if self._stop is not None:
            self._stop[0] = 1
        for one in self._lanes:
            one.orders.close()
            one.told.close()
        for _ in range(2):
            deadline_s = time.monotonic() + _CLOSING_S
            for one in self._lanes:
                one.process.join(max(0.0, deadline_s - time.monotonic()))
                if one.process.exitcode is None:
                    one.process.kill()
        if self._lanes:
            self.late_ns = self._late_ns()
        self._lanes = []

    def _late_ns(self) -> NDArray[np.int64]:
        paths = [late_path(self.job.worker.trace_dir, lane) for lane in range(self.score.lanes)]
        found = [np.fromfile(path, dtype=np.int64) for path in paths if path.exists()]
        return np.concatenate(found) if found else np.zeros(0, dtype=np.int64)
