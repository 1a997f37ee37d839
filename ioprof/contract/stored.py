"""How samples stand on the store: for loaders that read a format themselves, in place of the workload's reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from ioprof.contract.workload import Indices, Layout, ObjectSizes, Setting

if TYPE_CHECKING:
    from ioprof.store.base import Store

SampleBytes = bytes | memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSamples:
    """The objects that hold the samples, in which order they are wanted, and what a sample costs; picklable."""

    format: str
    """``files``: an object is a sample. ``tar``, ``parquet``, ``arrow``, ``tfrecord``, ``raw``: an object is a shard.
    ``tokens``: arrays of tokens, each with its index."""
    layout: Layout
    """Names of the objects by their index."""
    sizes: ObjectSizes
    objects: Sequence[int]
    """Indices of the objects that hold samples; others are indexes and the like."""
    samples_per_object: int
    order: Callable[[int], Sequence[int] | Indices]
    """Of an epoch: in which order the objects are wanted. Loaders deliver their samples in it, or say that they do
    not. Where samples have numbers, `LoadJob.order` counts."""
    shuffle_buffer: int = 0
    """Samples that each worker keeps to draw the next one from, as the workload wishes; 0: none."""
    decode: Callable[[SampleBytes], SampleBytes] | None = None
    """The CPU work that each sample costs; the trace's tap does and records it (`Tap.decode`). None: none."""
    details: Mapping[str, Setting] = field(default_factory=dict)
    """What only this format has: ``columns`` of parquet (how many are read, from ``c0`` on), ``row_group``,
    ``read_bytes`` (the most that one read asks for), ``column`` of arrow; of tokens ``sequence_length``,
    ``token_bytes``, ``tokens`` and ``documents`` of each file, ``access`` and ``madvise``."""

    def path(self, obj: int) -> str:
        """Return an object's name, relative to the dataset's root."""
        return self.layout.path(obj)

    def full_path(self, store: Store, obj: int) -> str:
        """Return where an object is, for libraries that open it themselves: a path, or a URL with its protocol."""
        root = store.local_root if store.local_root is not None else store.url
        return f"{root.rstrip('/')}/{self.layout.path(obj)}"


@runtime_checkable
class StoredWorkload(Protocol):
    """What a workload has besides, if loaders may read its format themselves."""

    @property
    def stored_format(self) -> str:
        """The word that `StoredSamples.format` will be."""
        ...

    def stored_samples(self, sizes: ObjectSizes) -> StoredSamples:
        """Return how its samples stand on the store; ``sizes`` are those of the dataset's manifest."""
        ...
