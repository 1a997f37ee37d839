"""A replay as the two parts that a run is made of: what is stored, and what reads it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from ioprof.contract import (
    START_METHODS,
    Access,
    Capabilities,
    Indices,
    Layout,
    LoadJob,
    ObjectSizes,
    PluginParams,
    Setting,
    StartMethod,
)
from ioprof.replay.accesses import Accesses
from ioprof.replay.session import ReplaySession, Score
from ioprof.store.base import Store
from ioprof.store.tap import Tap
from ioprof.trace.kinds import Kind

REPLAY = "replay"


class ReplayParams(PluginParams):
    """Of which run, and how much of it."""

    of: str = Field("", description="name of the run directory that is repeated; empty where names are hidden")
    anonymise: bool = Field(False, description="whether names were hidden")


class LaneParams(PluginParams):
    """Who repeats it."""

    workers: int = Field(1, description="processes, one for each lane")
    start_method: StartMethod = Field("fork", description="how they are started")


class NoReader:
    """Stands where other workloads have a reader of samples: lanes repeat operations."""

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes]:
        """Read nothing."""
        return ()


class ReplayWorkload:
    """The objects of a recorded run, and what was done when its samples were looked for."""

    name: ClassVar[str] = REPLAY
    summary: ClassVar[str] = "the accesses of a recorded run on another store"
    Params: ClassVar[type[PluginParams]] = ReplayParams
    reference_model: ClassVar[str | None] = None
    access: ClassVar[Access] = "map"
    defaults: ClassVar[Mapping[str, Setting]] = {}

    def __init__(self, layout: Layout, samples: int, discovery: Accesses) -> None:
        self._layout = layout
        self._samples = samples
        self._discovery = discovery

    def layout(self) -> Layout:
        """Return the objects."""
        return self._layout

    def samples(self) -> int:
        """Return the samples of an epoch as the recorded run had them."""
        return self._samples

    def order(self, epoch: int) -> Indices:
        """Return their numbers; nobody reads by them."""
        return np.arange(self._samples, dtype=np.int64)

    def reader(self, sizes: ObjectSizes) -> NoReader:
        """Return a reader that reads nothing."""
        return NoReader()

    def discover(self, store: Store, tap: Tap) -> int:
        """List and stat as the recorded run did before its loader opened, one after the other without a pause."""
        directories = listed_directories(self._layout)
        listed = 0
        for kind, obj in zip(self._discovery.kind.tolist(), self._discovery.object.tolist(), strict=True):
            if kind == Kind.LIST:
                tap.list(directories[listed % len(directories)])
                listed += 1
            elif kind == Kind.STAT:
                tap.stat(self._layout.path(obj) if obj >= 0 else "", obj)
        return self._samples


def listed_directories(layout: Layout) -> list[str]:
    """Return what listings go to, in turn: which directory it was is not recorded."""
    return list(layout.directories()) or [""]


class ReplayLoader:
    """Lanes in place of workers."""

    name: ClassVar[str] = REPLAY
    summary: ClassVar[str] = "repeats recorded operations"
    requires: ClassVar[tuple[str, ...]] = ()
    extra: ClassVar[str | None] = None
    reads_storage: ClassVar[bool] = True
    accepts: ClassVar[frozenset[Access]] = frozenset({"map"})
    capabilities: ClassVar[Capabilities] = Capabilities(
        reads_with="python", workers=("process",), start_methods=START_METHODS, ordered="never"
    )
    Params: ClassVar[type[PluginParams]] = LaneParams

    def __init__(self, score: Score) -> None:
        self._score = score
        self.session: ReplaySession | None = None

    def load(self) -> None:
        """Nothing is imported."""

    def open(self, job: LoadJob) -> ReplaySession:
        """Return the session; its processes start with the first epoch."""
        self.session = ReplaySession(job, self._score)
        return self.session
