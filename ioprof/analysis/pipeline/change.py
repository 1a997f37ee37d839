"""What is different in the run that is asked about; everything left out stays as it was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ioprof.analysis.pipeline.pieces import RULE_STAGES, Stage
from ioprof.errors import UsageError

NOT_SCALED = frozenset(
    {
        *RULE_STAGES,
        Stage.START_UP,
        Stage.STEP_SYNC,
        Stage.CHECKPOINT,
        Stage.HOST_LATE,
        Stage.UNEXPLAINED,
        Stage.DATASET,
    }
)
"""Stages that are no work of a batch's: a factor on them has no meaning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of a finished run; None: as it was."""

    workers: int | None = None
    """Worker processes of each rank; 0: batches are made in the consumer's process."""
    prefetch: int | None = None
    """Batches each worker may be ahead."""
    batch_size: int | None = None
    in_order: bool | None = None
    pin: bool | None = None
    stage_factors: Mapping[Stage, float] = field(default_factory=dict)
    """Time of a stage, in times of what it took."""
    store_latency_factor: float | None = None
    """Of what an operation takes when nothing else is asked of the store."""
    store_bandwidth_factor: float | None = None
    """Of the most bytes per second that the store gives."""
    store_iops_factor: float | None = None
    """Of the most operations per second that the store gives."""
    client_hit_ratio: float | None = None
    """Share of the bytes read that this host's page cache serves, 0.0 to 1.0."""
    busy_ns_per_batch: int | None = None
    """How long a batch keeps the accelerator busy; 0: batches are taken as fast as they come."""
    cores: float | None = None
    """CPUs that all ranks of a host share."""
    cpu_speed_factor: float | None = None
    """Speed of each CPU, in times of what it was: what computes takes that much less."""
    ranks_per_host: int | None = None
    hosts: int | None = None

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: a value that no run can have.
        """
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise UsageError(f"{_word(name)} is {value}; it must be {least} or more")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise UsageError(f"{_word(name)} is {value}; it must be positive")
        if self.client_hit_ratio is not None and not 0 <= self.client_hit_ratio <= 1:
            raise UsageError(f"the hit ratio is {self.client_hit_ratio}; it must be 0 to 1")
        for stage, factor in self.stage_factors.items():
            if stage in NOT_SCALED:
                raise UsageError(f"stage {stage.key} takes no time of its own that could be scaled")
            if not 0 <= factor < math.inf:
                raise UsageError(f"the factor of stage {stage.key} is {factor}; it must be 0 or more")


_LEAST = {"workers": 0, "prefetch": 1, "batch_size": 1, "busy_ns_per_batch": 0, "ranks_per_host": 1, "hosts": 1}
_POSITIVE = ("store_latency_factor", "store_bandwidth_factor", "store_iops_factor", "cores", "cpu_speed_factor")


def _word(name: str) -> str:
    return name.replace("_", " ")
