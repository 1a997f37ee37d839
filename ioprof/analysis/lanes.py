"""What each worker did around one moment of a run: the longest wait, unless another is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.series import window_opened_ns

MOST_BATCHES = 400
BEFORE, AFTER = 4.0, 1.5
"""How far the window reaches, in lengths of the wait."""
LEAST_S = 0.02
STAMPS = ("fetch_start_ns", "fetch_end_ns", "collate_end_ns", "received_ns")


@dataclass(frozen=True, slots=True, kw_only=True)
class Lanes:
    """The batches of one rank whose making or lying ready reaches into a window; one entry for each batch."""

    rank: int
    step: int
    """The step whose wait the window is around."""
    wait_s: float
    start_s: float
    """Where the window begins, after the measured window had opened."""
    end_s: float
    batch: NDArray[np.int64]
    worker: NDArray[np.int64]
    fetch_start_s: NDArray[np.float64]
    fetch_end_s: NDArray[np.float64]
    made_s: NDArray[np.float64]
    received_s: NDArray[np.float64]
    is_cut: bool
    """More batches reach into the window than are kept: the nearest to the wait are."""


def lanes_around_longest_wait(ranks: list[RankSteps], batches: pa.Table) -> Lanes | str:
    """Return what workers did around the longest wait of all ranks, or why that is not known."""
    measured = [rank for rank in ranks if rank.measured]
    if not measured:
        return "no step was measured"
    rank = max(measured, key=lambda one: int(one.idle_ns[one.first :].max()))
    place = rank.first + int(np.argmax(rank.idle_ns[rank.first :]))
    known = batches.filter(np.asarray(batches["rank"].to_numpy() == rank.rank))
    known = known.filter(pa.array(_is_stamped(known)))
    if known.num_rows == 0:
        return "the loader does not say when its batches were made"
    wait_ns = int(rank.idle_ns[place])
    centre = int(rank.busy_start_ns[place])
    reach = max(wait_ns, int(LEAST_S * 1e9))
    low, high = centre - int(BEFORE * reach), centre + int(AFTER * reach)
    return _lanes(rank, place, known, low, high)


def _is_stamped(batches: pa.Table) -> NDArray[np.bool_]:
    stamped = np.ones(batches.num_rows, bool)
    for name in STAMPS:
        column = batches[name].to_numpy(zero_copy_only=False).astype(float)
        stamped &= ~np.isnan(column) & (column > 0)
    return stamped


def _lanes(rank: RankSteps, place: int, known: pa.Table, low: int, high: int) -> Lanes | str:
    columns = {name: known[name].to_numpy().astype(np.int64) for name in (*STAMPS, "batch", "worker")}
    inside = np.flatnonzero((columns["fetch_start_ns"] < high) & (columns["received_ns"] > low))
    if not len(inside):
        return "no batch was made around the longest wait"
    nearest = inside[np.argsort(np.abs(columns["received_ns"][inside] - int(rank.busy_start_ns[place])))]
    kept = np.sort(nearest[:MOST_BATCHES])
    opened = window_opened_ns(rank)
    seconds = {name: (columns[name][kept] - opened) / 1e9 for name in STAMPS}
    return Lanes(
        rank=rank.rank,
        step=int(rank.step[place]),
        wait_s=int(rank.idle_ns[place]) / 1e9,
        start_s=(low - opened) / 1e9,
        end_s=(high - opened) / 1e9,
        batch=columns["batch"][kept],
        worker=columns["worker"][kept],
        fetch_start_s=seconds["fetch_start_ns"],
        fetch_end_s=seconds["fetch_end_ns"],
        made_s=seconds["collate_end_ns"],
        received_s=seconds["received_ns"],
        is_cut=len(inside) > MOST_BATCHES,
    )
