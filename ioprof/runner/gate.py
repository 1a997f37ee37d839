"""Holds the first batch of a run back until the runs beside it are as far."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ioprof.clock import now_ns
from ioprof.contract import Batch

Gate = Callable[[], None]
"""Called once, when the first batch is held; steps begin, and the duration counts, when it returns."""
_HELD_NOTABLY_S = 0.1


def held_at(
    gate: Gate, batches: Iterator[Batch], opened: Callable[[], None], caveat: Callable[[str], None]
) -> Iterator[Batch]:
    """Yield batches, the first one after the gate let it through.

    Args:
        gate: what is waited at.
        batches: of the run's first epoch.
        opened: called when the gate has opened.
        caveat: takes what a reader of the run must know of the waiting.
    """
    for first in batches:
        start_ns = now_ns()
        gate()
        held_s = (now_ns() - start_ns) / 1e9
        if held_s >= _HELD_NOTABLY_S:
            caveat(
                f"The first batch was held for {held_s:.1f} s until the pipelines beside it had theirs; the time to "
                "the first batch includes that."
            )
        opened()
        yield first
        # Let its memory go before the next one is waited for.
        del first
        break
    yield from batches
