"""Accelerator utilisation by MLPerf Storage's own formula, to lay a run beside published ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ioprof.analysis.measured import RankSteps, Stamps
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
    steps: int
    au: float
    steps_per_s: float


def mlperf_rates(ranks: list[RankSteps], epochs: list[EpochRecord], batch_size: int | None) -> MlperfRates | str:
    """Return MLPerf Storage's accelerator utilisation and samples/s, or why there are none.

    One block is one epoch of one rank, with all its N steps, warm-up included; a checkpoint ends a block, and the
    next one begins after it::

        AU        = sum of the measured compute times of steps 2..N / T
        samples/s = (N - 2) / T * batch size
        T         = block end - block start - (load + compute of step 1)

    Both are averaged over an epoch's blocks, weighted by their steps, and then over epochs; utilisation is averaged
    over ranks as well, their rates are added up. Quirks kept on purpose: the first step counts on neither side; the
    tail of the epoch (the last, empty fetch and the workers' shutdown), barriers and logging are in T; the sleeps are
    taken as measured, overshoot included, so a slow clock flatters; T covers N - 1 steps though their rate counts N -
    2.
    What a block of fewer than three steps would give is noise: beside longer ones of its epoch it is left out.
    Ours differs: warm-up steps are dropped once per run instead of one step per epoch, and sums are divided
    instead of averaging ratios.

    Args:
        ranks: all steps of each rank.
        epochs: when each epoch started and ended.
        batch_size: samples per batch, as asked for; None: nothing was asked for, a program of its own was watched.
    Source: mlcommons/storage and argonne-lcf/dlio_benchmark, statscounter (``end_block``).
    """
    if batch_size is None:
        return "a program of its own was watched, and none of their workloads"
    bounds = {record.epoch: record for record in epochs}
    au: list[float] = []
    steps_per_s = 0.0
    for rank in ranks:
        rates: list[float] = []
        for epoch, steps in _steps_by_epoch(rank):
            if epoch not in bounds:
                return f"epoch {epoch} did not end"
            blocks = _blocks(rank, steps, bounds[epoch])
            if isinstance(blocks, str):
                return blocks
            weights = [block.steps for block in blocks]
            au.append(float(np.average([block.au for block in blocks], weights=weights)))
            rates.append(float(np.average([block.steps_per_s for block in blocks], weights=weights)))
        steps_per_s += float(np.mean(rates))
    if not au:
        return "no steps were made"
    return MlperfRates(au=float(np.mean(au)), samples_per_s=steps_per_s * batch_size)


def _steps_by_epoch(rank: RankSteps) -> Iterator[tuple[int, Stamps]]:
    """Yield each epoch of a rank and the places of its steps, both in order."""
    order = np.argsort(rank.epoch, kind="stable")
    epochs, starts = np.unique(rank.epoch[order], return_index=True)
    return zip(epochs.tolist(), np.split(order, starts[1:]), strict=True)


def _blocks(rank: RankSteps, steps: Stamps, epoch: EpochRecord) -> list[_Block] | str:
    """Return the blocks of an epoch, made of these steps, that are long enough, or why there are none."""
    if len(steps) < MIN_STEPS:
        return f"epoch {epoch.epoch} has {len(steps)} steps; their formula needs {MIN_STEPS}"
    blocks: list[_Block] = []
    start_ns, first = epoch.start_ns, 0
    for last in np.flatnonzero(rank.stop_start_ns[steps]).tolist():
        blocks += _block(rank, steps[first : last + 1], start_ns, int(rank.stop_start_ns[steps[last]]))
        start_ns, first = int(rank.stop_end_ns[steps[last]]), last + 1
    blocks += _block(rank, steps[first:], start_ns, epoch.end_ns)
    if blocks:
        return blocks
    if first == 0:
        return f"epoch {epoch.epoch} took no time beyond its first step"
    return f"epoch {epoch.epoch} has too few steps between checkpoints; their formula needs {MIN_STEPS}"


def _block(rank: RankSteps, steps: Stamps, start_ns: int, end_ns: int) -> list[_Block]:
    """Return the block of these steps; none where it is too short."""
    if len(steps) < MIN_STEPS:
        return []
    # By their formula a sleep counts for as long as it took, however late the host was.
    compute_ns = rank.busy_end_ns[steps] + rank.late_ns[steps] - rank.busy_start_ns[steps]
    load_ns = rank.wait_end_ns[steps[0]] - rank.wait_start_ns[steps[0]]
    total_ns = end_ns - start_ns - int(load_ns + compute_ns[0])
    if total_ns <= 0:
        return []
    rate = (len(steps) - 2) / (total_ns / 1e9)
    return [_Block(steps=len(steps), au=float(compute_ns[1:].sum() / total_ns), steps_per_s=rate)]
