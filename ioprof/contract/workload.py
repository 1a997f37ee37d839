"""What a workload is: what is stored, in which order it is wanted, and what reads it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from ioprof.store.base import Store
    from ioprof.store.tap import Tap

Setting = str | int | float | bool
"""A value of the spec as a user would write it."""

Access = Literal["map", "stream"]
"""How a workload's samples are reached: by number, in any order; or front to back, each worker its own part."""

Indices = NDArray[np.int64]
"""Sample numbers, object indices or sizes in bytes; one dimension."""


PUBLISHED = "published"


class PluginParams(BaseModel):
    """Base of every plug-in's parameters: frozen, unknown keys refused, each field with a description.

    The fields become flags of ``ioprof run`` (``file_size`` is ``--file-size``) and keys of the spec file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class Layout(Protocol):
    """What is stored: the objects of a dataset, all computed from their index, none held in memory."""

    count: int
    """Number of objects; index 0 to count - 1."""

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return all that decides the stored bytes and names; equal identities mean equal datasets."""
        ...

    def path(self, index: int) -> str:
        """Return the path of object ``index``, relative to the dataset's root."""
        ...

    def directories(self) -> Iterator[str]:
        """Yield every directory, parents before children, relative to the dataset's root."""
        ...

    def sizes(self, start: int, stop: int) -> Indices:
        """Return the sizes in bytes of objects ``start`` to ``stop`` - 1 as int64."""
        ...

    def render(self, index: int, size_bytes: int) -> bytes | bytearray | memoryview:
        """Return the whole content of object ``index``; always the same for the same identity.

        The buffer may be reused by the next call.
        """
        ...


class ObjectSizes(Protocol):
    """Object sizes of a prepared dataset; picklable, cheap to send, opened where they are used."""

    def of(self, objects: Sequence[int]) -> list[int]:
        """Return the sizes in bytes of these objects, in order."""
        ...


class SampleReader(Protocol):
    """Reads samples inside a worker; picklable, built once, used from one process at a time."""

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes | memoryview]:
        """Read samples through the traced store, decode them, and return each one's bytes, in order.

        A sample whose operations failed is left out: the tap has already counted the error. Decoding is
        recorded as operations of kind decode.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochStart:
    """What a worker is told before its first batch of an epoch."""

    epoch: int
    rank: int
    worker: int
    """From 0; -1 for the consumer's own process."""
    scratch: str
    """Directory of this run, relative to the store's root, where a `WritingWorkload` may write; empty for others."""


@runtime_checkable
class EpochReader(Protocol):
    """What a sample reader has besides, if each worker does something by itself at the start of an epoch."""

    def begin_epoch(self, tap: Tap, start: EpochStart) -> None:
        """Do it; called before the worker's first batch of the epoch, whose time it is part of.

        The operations are counted apart from those of batches. One reader may serve several workers of a process:
        what belongs to a worker is kept by its tap.
        """
        ...


@runtime_checkable
class EpochEnder(Protocol):
    """What a sample reader has besides, if its workers hold something back that must not stay with them."""

    def end_epoch(self, tap: Tap) -> None:
        """Hand it over; called by each worker when no batch of the epoch is left for it.

        Mostly inside the last batch that the worker makes of the epoch, whose operations and time it is part of. Where
        no batch is known to be the last (the run ends early), it is called when the worker ends, and counted apart.
        Where a loader delivers out of order, batches of the epoch may follow all the same, and then another call.

        Raises:
            StoreError: the store refused.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Which share of a stream one worker of one rank reads."""

    index: int
    """From 0 to ``count`` - 1: rank times workers plus worker."""
    count: int
    """Workers of all ranks together."""


class SampleStream(Protocol):
    """Yields samples front to back inside a worker; picklable, built once, used from one process at a time."""

    def samples(self, tap: Tap, epoch: int, part: Part) -> Iterator[bytes | memoryview]:
        """Yield the decoded bytes of one epoch's samples of ``part``, through the traced store.

        Over all parts each sample comes once, whatever their number. What was yielded stays as it is: no buffer is
        used again. A sample whose operations failed is left out: the tap has already counted the error.
        """
        ...


class Workload(Protocol):
    """What is stored and in which order it is wanted; besides this, a `MapWorkload` or a `StreamWorkload`."""

    name: ClassVar[str]
    summary: ClassVar[str]
    """One line for ``ioprof list``: the question this workload answers."""
    Params: ClassVar[type[PluginParams]]
    reference_model: ClassVar[str | None]
    """Model whose published step times stand for this workload (key of the accelerator table)."""
    access: ClassVar[Access]
    """Which of the two it is; decides which loaders can deliver it."""
    defaults: ClassVar[Mapping[str, Setting]]
    """What this workload wants set in other sections where the user says nothing: ``{"loader.name": "processes"}``.

    A ``loader.batch_size`` of `PUBLISHED` is the one that the model's step time was published with.
    """

    def __init__(self, params: PluginParams, seed: int) -> None: ...

    def layout(self) -> Layout:
        """Return the objects to store."""
        ...

    def samples(self) -> int:
        """Return the number of samples of one epoch over all ranks."""
        ...

    def discover(self, store: Store, tap: Tap) -> int:
        """Find the samples as a training script does at start-up (list, stat); return how many were found.

        ``store`` is rooted at the dataset.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MlperfRules:
    """What MLPerf Storage asks of a run of one of its workloads."""

    record_bytes: int
    """Nominal size of a sample, which their MB/s is made of."""
    samples_per_file: int
    threshold: float | None
    """Accelerator utilisation by their formula that a run must reach, 0.0 to 1.0; None: none is published."""
    epochs: int | None = None
    """Epochs of a whole run; None: not said."""
    deviations: tuple[str, ...] = ()
    """How the workload, as it was asked for, differs from the published one."""


@runtime_checkable
class MlperfWorkload(Protocol):
    """A workload that MLPerf Storage has rules for; its results are laid beside published ones."""

    def mlperf_rules(self) -> MlperfRules:
        """Return the rules."""
        ...


@runtime_checkable
class ChecksStore(Protocol):
    """A workload that not every store can serve; asked before anything is prepared."""

    def check_store(self, store: Store) -> None:
        """Refuse a store that cannot serve it; ``store`` is its root, and nothing need be there yet.

        Raises:
            SpecError: what the store lacks, and what to do.
        """
        ...


class MapWorkload(Workload, Protocol):
    """A workload whose samples have numbers and are read in any order."""

    def order(self, epoch: int) -> Indices:
        """Return the sample numbers of ``epoch`` in the order they are wanted: the same for the same seed."""
        ...

    def reader(self, sizes: ObjectSizes) -> SampleReader:
        """Return the reader for workers; ``sizes`` are those of the dataset's manifest."""
        ...


@runtime_checkable
class ProbedWorkload(Protocol):
    """What a map-style workload has besides, if its reader does more than read: the part that reads, for probes."""

    def probe_reader(self, sizes: ObjectSizes) -> SampleReader:
        """Return a reader of the same samples that only reads them; ``sizes`` are those of the dataset's manifest."""
        ...


class StreamWorkload(Workload, Protocol):
    """A workload that is read front to back, each worker its own part."""

    def stream(self, sizes: ObjectSizes) -> SampleStream:
        """Return what workers read; ``sizes`` are those of the dataset's manifest."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScratchNeed:
    """What a run holds in its scratch directory at once, at most."""

    size_bytes: int
    names: int
    """Files and directories."""
    size_bytes_per_worker: int = 0
    """What each worker of the run holds on top."""
    names_per_worker: int = 0
    """Likewise."""


@runtime_checkable
class WritingWorkload(Protocol):
    """What a workload has besides, if its workers write: only in the scratch directory that each run gets.

    The engine makes that directory and removes it; a run that was killed leaves it to the next run or ``ioprof clean``.
    """

    def scratch_need(self) -> ScratchNeed:
        """Return what a run needs there; checked before it starts."""
        ...

    def check_scratch(self, store: Store, scratch: str) -> Sequence[str]:
        """Try what the run will do, in its empty scratch directory; return caveats.

        Raises:
            StoreError, SpecError: the store lacks what the run cannot do without.
        """
        ...

    def finish(self, store: Store, scratch: str) -> str | None:
        """End what workers left open, once they are gone; return a caveat if the directory is to be kept, else None."""
        ...
