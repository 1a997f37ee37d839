"""Waiting for a moment more exactly than sleeping alone: sleep until shortly before it, then look at the clock."""

from __future__ import annotations

import ctypes
import threading
import time

_PR_SET_TIMERSLACK = 29
_SMALLEST_MARGIN_NS = 10_000
_LARGEST_MARGIN_NS = 120_000
"""What is spun at most for one wait: it is CPU time that the host's other work does not get."""
_NUDGE_NS = 1_000
_LATE_NUDGES = 9
"""A late sleep raises the margin by so many nudges, an early one lowers it by one: one sleep in ten ends late."""
_now = time.perf_counter_ns


def set_timer_slack(slack_ns: int) -> bool:
    """Let the kernel delay this thread's timers by at most ``slack_ns`` (default: 50 µs); False: refused."""
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        return bool(libc.prctl(_PR_SET_TIMERSLACK, ctypes.c_ulong(slack_ns), 0, 0, 0) == 0)
    except (OSError, AttributeError):
        return False


class PreciseWait:
    """Waits of one thread at a time; other threads run while it sleeps.

    Waking up takes some tens of microseconds, more on a busy host. The margin that is left for it follows what the
    sleeps so far took, within bounds.

    Attributes:
        margin_ns: how long before the moment the next sleep is to end.
    """

    def __init__(self) -> None:
        self.margin_ns = _LARGEST_MARGIN_NS // 2
        self._thread = -1

    def until(self, moment_ns: int) -> None:
        """Return when the clock of `ioprof.clock` shows ``moment_ns``; at once if that has passed."""
        wake_ns = moment_ns - self.margin_ns
        left_ns = wake_ns - _now()
        if left_ns > 0:
            self._prepare_thread()
            time.sleep(left_ns / 1e9)
            self._learn(is_late=_now() > moment_ns)
        while _now() < moment_ns:
            pass

    def _prepare_thread(self) -> None:
        """Ask for precise timers, once in each thread: the kernel keeps the slack by thread."""
        thread = threading.get_ident()
        if thread != self._thread:
            set_timer_slack(1)
            self._thread = thread

    def _learn(self, *, is_late: bool) -> None:
        moved_ns = self.margin_ns + (_LATE_NUDGES * _NUDGE_NS if is_late else -_NUDGE_NS)
        self.margin_ns = min(max(moved_ns, _SMALLEST_MARGIN_NS), _LARGEST_MARGIN_NS)
