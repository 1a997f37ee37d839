"""Accelerator utilisation by MLPerf Storage's own formula, to lay a run beside published ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ioprof.analysis.measured import RankSteps
from ioprof.trace.run_record import EpochRecord

MIN_STEPS = 3
"""Their rate divides by N - 2: with fewer steps it would be empty or negative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MlperfRates:
    """What MLPerf Storage would print of a run."""

    au: float
    """Accelerator utilisation, 0.0 to 1.0."""
    samples_per_s: float
    """All ranks together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    au: float
    steps_per_s: float


def mlperf_au(ranks: list[RankSteps], epochs: list[EpochRecord]) -> float | str:
    """Return MLPerf Storage's accelerator utilisation alone; see `mlperf_rates`."""
    rates = mlperf_rates(ranks, epochs, 1)
    return rates if isinstance(rates, str) else rates.au


def mlperf_rates(ranks: list[RankSteps], epochs: list[EpochRecord], batch_size: int) -> MlperfRates | str:
    """Return MLPerf Storage's accelerator utilisation and samples/s, or why there are none.

    One block is one epoch of one rank, with all its N steps, warm-up included::

        AU        = sum of the measured compute times of steps 2..N / T
        samples/s = (N - 2) / T * batch size
        T         = block end - block start - (load + compute of step 1)

    Both are averaged over epochs; utilisation is averaged over ranks as well, their rates are added up. Quirks kept
    on purpose: the first step counts on neither side; the tail of the epoch (the last, empty fetch and the workers'
    shutdown), barriers and logging are in T; the sleeps are taken as measured, overshoot included, so a slow clock
    flatters; T covers N - 1 steps though their rate counts N - 2.
    Ours differs: warm-up steps are dropped once per run instead of one step per epoch, and sums are divided
    instead of averaging ratios.

    Args:
        ranks: all steps of each rank.
        epochs: when each epoch started and ended.
        batch_size: samples per batch, as asked for.
    Source: mlcommons/storage and argonne-lcf/dlio_benchmark, statscounter (``end_block``).
    """
    bounds = {record.epoch: record for record in epochs}
    au: list[float] = []
    steps_per_s = 0.0
    for rank in ranks:
        rates: list[float] = []
        for epoch in np.unique(rank.epoch).tolist():
            if epoch not in bounds:
                return f"epoch {epoch} did not end"
            block = _block(rank, bounds[epoch])
            if isinstance(block, str):
                return block
            au.append(block.au)
            rates.append(block.steps_per_s)
        steps_per_s += float(np.mean(rates))
    if not au:
        return "no steps were made"
    return MlperfRates(au=float(np.mean(au)), samples_per_s=steps_per_s * batch_size)


def _block(rank: RankSteps, epoch: EpochRecord) -> _Block | str:
    steps = np.flatnonzero(rank.epoch == epoch.epoch)
    if len(steps) < MIN_STEPS:
        return f"epoch {epoch.epoch} has {len(steps)} steps; their formula needs {MIN_STEPS}"
    compute_ns = rank.busy_end_ns[steps] - rank.busy_start_ns[steps]
    load_ns = rank.wait_end_ns[steps[0]] - rank.wait_start_ns[steps[0]]
    total_ns = epoch.end_ns - epoch.start_ns - int(load_ns + compute_ns[0])
    if total_ns <= 0:
        return f"epoch {epoch.epoch} took no time beyond its first step"
    return _Block(au=float(compute_ns[1:].sum() / total_ns), steps_per_s=(len(steps) - 2) / (total_ns / 1e9))
