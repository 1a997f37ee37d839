"""What a prediction is made from: what was measured, and the setting it was measured at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.analysis.pipeline.recipe import Recipe
from ioprof.analysis.pipeline.store_curve import StoreCurve
from ioprof.analysis.pipeline.transport import Transport


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The rules of the loader and the size of the world, as measured or as asked about."""

    workers: int
    prefetch: int
    batch_size: int
    in_order: bool
    pin: bool
    cores: float
    ranks_per_host: int
    hosts: int

    def changed(self, change: Change) -> Setting:
        """Return the setting with what is different."""
        given = {name: getattr(change, name) for name in self.__dataclass_fields__}
        return replace(self, **{name: value for name, value in given.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """All that a replay is made from."""

    recipe: Recipe
    transport: Transport
    shares: Mapping[Stage, float]
    """Of the time in storage operations, by stage."""
    curve: StoreCurve
    setting: Setting
    asked_busy_ns: int | None
    """Busy time per batch that the accelerator was to have; None: there was none."""
    is_busy_drawn: bool
    """It differs from batch to batch on purpose."""
    other_load: float
    held_ratio: float = 0.0
    """Share of the time in storage operations for which a throttle asked."""
    base_ratio: float = 1.0
    """What a lone storage operation takes, over what the measured ones took beside others."""
    wake_up_ratio: float = 0.0
    """Share of what workers waited for a CPU that a replay does not make them wait: they woke up onto a free one."""
