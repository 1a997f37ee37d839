"""The workload's side of a loader's job, by how its samples are reached."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from ioprof.contract import (
    Indices,
    MapWorkload,
    ObjectSizes,
    SampleReader,
    SampleStream,
    StoredSamples,
    StoredWorkload,
    StreamWorkload,
    Workload,
)


def source_of(workload: Workload, sizes: ObjectSizes) -> SampleReader | SampleStream:
    """Return what workers read samples with."""
    if workload.access == "stream":
        return cast("StreamWorkload", workload).stream(sizes)
    return cast("MapWorkload", workload).reader(sizes)


def order_of(workload: Workload) -> Callable[[int], Indices] | None:
    """Return which samples an epoch wants in which order; None where the stream decides."""
    return None if workload.access == "stream" else cast("MapWorkload", workload).order


def stored_of(workload: Workload, sizes: ObjectSizes) -> StoredSamples | None:
    """Return how its samples stand on the store; None where the workload does not say."""
    return workload.stored_samples(sizes) if isinstance(workload, StoredWorkload) else None
