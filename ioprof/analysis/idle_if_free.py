"""How much less the accelerator would stand idle if one cause cost nothing: the run scheduled again without it."""

from __future__ import annotations

import numpy as np

from ioprof.analysis.idle_causes import IdleByCause
from ioprof.analysis.measured import RankSteps
from ioprof.analysis.pipeline.measured import made_of, shape_of, work_of
from ioprof.analysis.pipeline.path import without
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.analysis.pipeline.recursion import schedule
from ioprof.analysis.pipeline.span_times import SpanTimes
from ioprof.analysis.pipeline.work import PipelineShape, PipelineWork
from ioprof.analysis.reasons import Reasons
from ioprof.trace.trace import Trace

MOST_STEPS = 50_000
"""Of longer runs the last so many steps are scheduled, and stand for all."""
WORST_ERROR = 0.1
"""Where the schedule's idle time is further from what was measured, relative to it, it tells nothing of less."""
LEAST_IDLE = 0.02
"""Share of all time below which that is not asked."""
_KEY = "idle_if_free"


def idle_if_free(
    ranks: list[RankSteps], trace: Trace, times: SpanTimes, charged: IdleByCause, reasons: Reasons
) -> dict[str, float] | None:
    """Return for each cause that idle time was charged to how much of all idle time it would take along, in seconds.

    The parts do not sum to anything: two causes may each hide the other.

    Args:
        ranks: the steps of every rank.
        trace: the run.
        times: all spans have passed it.
        charged: idle time by cause.
        reasons: takes in why there is nothing to return.
    """
    shape = shape_of(trace.run)
    if shape is None:
        return reasons.known(_KEY, None, "the loader does not say how many workers it has and how far ahead they are")
    causes = [stage for stage in Stage if stage != Stage.UNEXPLAINED and (getattr(charged, stage.key) or 0.0) > 0]
    freed = dict.fromkeys((stage.key for stage in causes), 0.0)
    for rank in ranks:
        if not rank.measured:
            continue
        whole = _Replay(rank, work_of(trace, rank, made_of(trace, rank, times)), shape)
        if (why := whole.doubt) is not None:
            return reasons.known(_KEY, None, why)
        for stage in causes:
            freed[stage.key] += whole.freed_s(stage)
    return freed


class _Replay:
    """One rank's work, scheduled as it was measured."""

    def __init__(self, rank: RankSteps, work: PipelineWork, shape: PipelineShape) -> None:
        steps = min(len(work), MOST_STEPS)
        self._work, self._shape = work.rows(np.arange(len(work) - steps, len(work))), shape
        self._warmup = max(0, rank.first - (len(work) - steps))
        self._measured_ns, self._window_ns = float(rank.idle_ns.sum()), rank.window_ns
        self._idle_ns = self._scheduled_ns(self._work, shape)
        self._scale = rank.measured / max(1, steps - self._warmup)

    @property
    def doubt(self) -> str | None:
        """Why the schedule tells nothing of this run; None: it is close to it."""
        off_ns = abs(self._idle_ns * self._scale - self._measured_ns)
        if off_ns <= max(WORST_ERROR * self._measured_ns, LEAST_IDLE * self._window_ns):
            return None
        return (
            f"the run scheduled again has {self._idle_ns * self._scale / 1e9:.3g} s of idle time, and had "
            f"{self._measured_ns / 1e9:.3g}: it did something that the loader's rules do not say"
        )

    def freed_s(self, stage: Stage) -> float:
        """Return how much idle time goes with a cause, in seconds; none where the run does worse without it."""
        less_ns = self._idle_ns - self._scheduled_ns(*without(self._work, self._shape, stage))
        return max(0.0, less_ns) * self._scale / 1e9

    def _scheduled_ns(self, work: PipelineWork, shape: PipelineShape) -> float:
        """Return the idle time of the measured steps."""
        done = schedule(work, shape)
        rows = done.order
        before_ns = np.concatenate([[0.0], done.busy_end_ns[rows[:-1]]])
        idle_ns = done.busy_start_ns[rows] - before_ns
        return float(idle_ns[self._warmup :].sum())
