"""How fast this host's CPU runs just now, by a fixed piece of work."""

from __future__ import annotations

from collections.abc import Callable

from ioprof.clock import now_ns

_ROUNDS = 100
_ADDITIONS = 10_000


def spin_ns(clock_ns: Callable[[], int] = now_ns) -> int:
    """Return how long a fixed loop of arithmetic takes, in ns: the fastest of many rounds (about 50 ms in all).

    The fastest, because what interrupts a round says nothing of the CPU's speed. On one host two values differ where
    its clock rate changed, or where somebody else keeps the other half of its core busy.

    Args:
        clock_ns: source of time.
    """
    return min(_round_ns(clock_ns) for _ in range(_ROUNDS))


def _round_ns(clock_ns: Callable[[], int]) -> int:
    start_ns, total = clock_ns(), 0
    for number in range(_ADDITIONS):
        total += number
    return clock_ns() - start_ns
