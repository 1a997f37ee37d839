"""The run's clock as Unix time, between the two moments at which run.json says how they stood."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ioprof.host.wall_clock import END_ERROR, END_OFFSET, ERROR, OFFSET
from ioprof.trace.run_record import Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class WallClock:
    """What is to be added to a stamp of the run for Unix time, and how wrong that may be."""

    start_ns: int
    """First moment, on the run's clock."""
    end_ns: int
    offset_ns: int
    """Unix time less the run's clock at the first moment."""
    drift_ns: int
    """By how much more it was at the last one."""
    error_ns: int
    """Largest error: both readings', and all of the drift, which need not have been even."""
    is_open: bool
    """True: the run was killed, and nobody read the clocks at its end; how far they drifted is not known."""

    def unix_ns(self, at_ns: int) -> int:
        """Return a stamp of the run as nanoseconds since 1970."""
        span_ns = self.end_ns - self.start_ns
        passed_ns = min(max(at_ns - self.start_ns, 0), span_ns)
        return at_ns + self.offset_ns + (self.drift_ns * passed_ns // span_ns if span_ns else 0)


def wall_clock_of(clock: Mapping[str, Scalar], start_ns: int, end_ns: int) -> WallClock | None:
    """Return how to get from the run's stamps to Unix time; None: the run's record does not say.

    Args:
        clock: the clock facts of run.json.
        start_ns: first stamp of the run.
        end_ns: last one.
    """
    offset_ns, error_ns = clock.get(OFFSET), clock.get(ERROR)
    if not isinstance(offset_ns, int) or not isinstance(error_ns, int):
        return None
    end_offset_ns, end_error_ns = clock.get(END_OFFSET), clock.get(END_ERROR)
    known = isinstance(end_offset_ns, int) and isinstance(end_error_ns, int)
    drift_ns = end_offset_ns - offset_ns if isinstance(end_offset_ns, int) and known else 0
    end_error = end_error_ns if isinstance(end_error_ns, int) and known else 0
    return WallClock(
        start_ns=start_ns,
        end_ns=end_ns,
        offset_ns=offset_ns,
        drift_ns=drift_ns,
        error_ns=max(error_ns, end_error) + abs(drift_ns),
        is_open=not known,
    )
