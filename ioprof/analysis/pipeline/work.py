"""What one rank's pipeline has to do, batch by batch, and the rules by which it does: what schedules are made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ioprof.analysis.pipeline.pieces import BEFORE_ASKING_STAGES, STAGES, WORKER_STAGES, Stage

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineShape:
    """The rules of a loader."""

    workers: int
    """Worker processes; 0: the consumer makes each batch when it asks for it."""
    prefetch: int
    """Batches that each worker is asked for ahead of the consumer."""
    in_order: bool
    """Batches are delivered in the order in which they were asked for."""
    pin: bool
    """Batches pass through a thread of the consumer's that copies them, one at a time, in the order they arrive."""
    access: Literal["map", "stream"]
    """``map``: any worker can make any batch; ``stream``: each worker makes the batches of its own stream."""

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: fewer than 0 workers, or less than one batch ahead.
        """
        if self.workers < 0 or self.prefetch < 1:
            raise ValueError(f"a pipeline needs workers >= 0 and prefetch >= 1, not {self.workers} and {self.prefetch}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineWork:
    """One rank's batches: arrays of length n, a row per batch; durations in ns.

    Of a map, rows are in the order in which batches are asked for; of a stream, in the order of delivery, of which
    each worker's own part is what counts. Epochs are ascending. Every duration is known and not negative.
    """

    batch: Ints
    """Number of the batch in the run."""
    worker: Ints
    """Which made it, -1 the consumer; schedules of streams read each worker's stream off it, others deal anew."""
    samples: Ints
    epoch: Ints
    pieces_ns: Floats
    """Shape (n, `STAGES`): how long each stage of the batch takes by itself."""
    unwrap_ns: Floats
    """The consumer's own cost of receiving the batch; counts as `Stage.IPC`, beside the piece of that name."""
    busy_ns: Floats
    """The accelerator at work on the batch."""

    def __post_init__(self) -> None:
        """Check that all arrays are as long as each other.

        Raises:
            ValueError: they are not.
        """
        lengths = {name: len(getattr(self, name)) for name in self.__dataclass_fields__}
        if len(set(lengths.values())) > 1 or self.pieces_ns.shape != (len(self), STAGES):
            raise ValueError(f"the arrays of a pipeline's work differ in length: {lengths}")

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def service_ns(self) -> Floats:
        """How long a worker needs for each batch."""
        return np.asarray(self.pieces_ns[:, list(WORKER_STAGES)].sum(axis=1), np.float64)

    @property
    def before_asking_ns(self) -> Floats:
        """How long the consumer does something else before it asks for each batch."""
        return np.asarray(self.pieces_ns[:, list(BEFORE_ASKING_STAGES)].sum(axis=1), np.float64)

    def rows(self, rows: Ints) -> PipelineWork:
        """Return these rows, in this order."""
        return replace(self, **{name: getattr(self, name)[rows] for name in self.__dataclass_fields__})

    def scaled(self, stage: Stage, factor: float) -> PipelineWork:
        """Return the same work with one stage so many times as long.

        Args:
            stage: any but `PREFETCH_LIMIT` and `IN_ORDER`, which take no time: change the shape instead.
            factor: 0 or more.
        """
        pieces_ns = self.pieces_ns.copy()
        pieces_ns[:, stage] *= factor
        unwrap_ns = self.unwrap_ns * factor if stage == Stage.IPC else self.unwrap_ns
        return replace(self, pieces_ns=pieces_ns, unwrap_ns=unwrap_ns)
