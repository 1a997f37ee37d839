"""Accelerator utilisation by MLPerf Storage's own formula, to lay a run beside published ones."""

from __future__ import annotations

import numpy as np

from ioprof.analysis.measured import RankSteps
from ioprof.trace.run_record import EpochRecord

MIN_STEPS = 3
"""Their rate divides by N - 2: with fewer steps it would be empty or negative."""


def mlperf_au(ranks: list[RankSteps], epochs: list[EpochRecord]) -> float | str:
    """Return MLPerf Storage's accelerator utilisation, 0.0 to 1.0, or why there is none.

    One block is one epoch of one rank, with all its N steps, warm-up included::

        AU = sum of the measured compute times of steps 2..N / T
        T  = block end - block start - (load + compute of step 1)

    The result is the mean over epochs and ranks. Quirks kept on purpose: the first step counts on neither
    side; the tail of the epoch (the last, empty fetch and the workers' shutdown), barriers and logging are
    in T; the sleeps are taken as measured, overshoot included, so a slow clock flatters. Ours differs:
    warm-up steps are dropped once per run instead of one step per epoch, and sums are divided instead of
    averaging ratios.

    Args:
        ranks: all steps of each rank.
        epochs: when each epoch started and ended.
    Source: mlcommons/storage and argonne-lcf/dlio_benchmark, statscounter (``end_block``).
    """
    bounds = {record.epoch: record for record in epochs}
    blocks: list[float] = []
    for rank in ranks:
        for epoch in np.unique(rank.epoch).tolist():
            if epoch not in bounds:
                return f"epoch {epoch} did not end"
            block = _block_au(rank, bounds[epoch])
            if isinstance(block, str):
                return block
            blocks.append(block)
    return float(np.mean(blocks)) if blocks else "no steps were made"


def _block_au(rank: RankSteps, epoch: EpochRecord) -> float | str:
    steps = np.flatnonzero(rank.epoch == epoch.epoch)
    if len(steps) < MIN_STEPS:
        return f"epoch {epoch.epoch} has {len(steps)} steps; their formula needs {MIN_STEPS}"
    compute_ns = rank.busy_end_ns[steps] - rank.busy_start_ns[steps]
    load_ns = rank.wait_end_ns[steps[0]] - rank.wait_start_ns[steps[0]]
    total_ns = epoch.end_ns - epoch.start_ns - int(load_ns + compute_ns[0])
    if total_ns <= 0:
        return f"epoch {epoch.epoch} took no time beyond its first step"
    return float(compute_ns[1:].sum() / total_ns)
