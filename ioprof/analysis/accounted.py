"""The batches that the kernel's accounting was read for, and how many each of them stands for.

Where batches are short, only one in some is accounted, and that changes within a run: slow batches may all be, fast
ones one in 64. A mean over the accounted ones would be that of the slow. So each counts as often as there were batches
for one that was accounted when it was; in runs of before that was kept, once.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def accounted(batches: pa.Table, column: str) -> pa.Table:
    """Return the batches for which an accounting column is known."""
    return batches.filter(pc.is_valid(batches[column]))


def weights(batches: pa.Table) -> Floats:
    """Return how many batches each stands for."""
    return np.asarray(batches["accounted_every"].fill_null(1).to_numpy(), dtype=np.float64)


def floats(batches: pa.Table, column: str) -> Floats:
    """Return a column; NaN where it is not known."""
    return np.asarray(batches[column].cast(pa.float64()).fill_null(np.nan).to_numpy(), dtype=np.float64)


def lasted_ns(batches: pa.Table, start: str, end: str) -> Floats:
    """Return the time between two stamps of each batch; NaN where one is not known."""
    took = pc.subtract(batches[end], batches[start]).cast(pa.float64())
    return np.asarray(took.fill_null(np.nan).to_numpy(), dtype=np.float64)


def weighted_sum(values: Floats, counts: Floats) -> float | None:
    """Return the sum of the known values, each so many times; None where none is known."""
    known = ~np.isnan(values)
    return float(values[known] @ counts[known]) if known.any() else None


def weighted_mean(values: Floats, counts: Floats) -> float | None:
    """Return the mean of the known values, each so many times; None where none is known."""
    total = weighted_sum(values, counts)
    return None if total is None else total / float(counts[~np.isnan(values)].sum())


def within(wall_ns: Floats, on_cpu_ns: Floats, run_queue_ns: Floats) -> tuple[Floats, Floats]:
    """Return time on a CPU and waiting for one, batch by batch, no more than the stage's wall time together.

    The kernel's counters are read a moment before and after the stamps. A worker that loses its CPU in that moment
    waits outside the stage, and the counters have it all the same: on a crowded host that can be milliseconds.
    """
    on_cpu_ns = np.where(on_cpu_ns > wall_ns, wall_ns, on_cpu_ns)
    left_ns = wall_ns - on_cpu_ns
    return on_cpu_ns, np.where(run_queue_ns > left_ns, left_ns, run_queue_ns)
