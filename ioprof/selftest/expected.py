"""What a pipeline of known times must give: its batches simulated one by one, nothing of ioprof's own in it."""

from __future__ import annotations

from collections.abc import Callable

from ioprof.selftest.plain import OwnCosts

NOTHING = OwnCosts()
"""What a loader costs that takes no time itself."""


def expected_utilization(
    batch_ns: Callable[[int, int], float],
    *,
    workers: int,
    prefetch: int,
    compute_ns: float,
    steps: int,
    warmup: int,
    own: OwnCosts = NOTHING,
) -> float:
    """Return busy / (busy + idle) of the steps after the warm-up, where nothing but the given times takes any.

    A worker makes its batches one after the other, each from when it was asked for: the first ``workers * prefetch`` at
    once, each further one when an earlier one is received. They are received in order, by an accelerator that is free.

    Args:
        batch_ns: how long a worker (first argument) takes for its batch number so-and-so (second), in ns.
        workers: how many there are; batch k is made by worker k modulo this.
        prefetch: batches each may be ahead.
        compute_ns: how long the accelerator is busy with a batch.
        steps: batches of the run.
        warmup: the first of them, left out.
        own: what a loader takes besides.
    """
    made_ns = [0.0] * workers
    received_ns: list[float] = []
    free_ns = window_start_ns = 0.0
    for batch in range(steps):
        worker, ahead = batch % workers, batch - workers * prefetch
        asked_ns = received_ns[ahead] if ahead >= 0 else 0.0
        # One that is asked for before the worker is through finds it at the end of another; one asked for later wakes
        # it up, which takes as long.
        began_ns = max(asked_ns, made_ns[worker]) + own.gap_ns
        made_ns[worker] = began_ns + batch_ns(worker, batch // workers) + own.batch_ns
        received_ns.append(max(free_ns + own.unwrap_ns, made_ns[worker] + own.handover_ns))
        free_ns = received_ns[-1] + compute_ns
        if batch == warmup - 1:
            window_start_ns = free_ns
    return (steps - warmup) * compute_ns / (free_ns - window_start_ns)
