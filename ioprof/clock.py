"""The one clock of ioprof.

``perf_counter_ns`` is CLOCK_MONOTONIC on Linux: the same for every process of a host, never set back.
"""

import time
from collections.abc import Callable
from typing import Protocol

now_ns: Callable[[], int] = time.perf_counter_ns
"""Read the clock: integer nanoseconds since an arbitrary origin shared by all processes of this host."""


class Clock(Protocol):
    """Time as an argument, so that tests can bring their own."""

    def now_ns(self) -> int:
        """Return nanoseconds since this clock's origin."""
        ...

    def sleep_ns(self, duration_ns: int) -> None:
        """Return after at least ``duration_ns``; a duration of zero or less returns at once."""
        ...


class SystemClock:
    """The host's monotonic clock."""

    now_ns = staticmethod(time.perf_counter_ns)

    def sleep_ns(self, duration_ns: int) -> None:
        """Block the calling thread for at least ``duration_ns``."""
        if duration_ns > 0:
            time.sleep(duration_ns / 1e9)


def as_ns(stamp_s: float) -> int:
    """Return a float stamp of `time.perf_counter` on the scale of `now_ns`."""
    return round(stamp_s * 1e9)
