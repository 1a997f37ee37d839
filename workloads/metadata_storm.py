"""`metadata-storm`: operations on names, hardly any data: what file systems do when many jobs start or clean up."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from typing import Annotated, ClassVar
from weakref import WeakKeyDictionary

import numpy as np
from ioprof.workloads.checked_text import SizesText, parsed_by
from ioprof.workloads.name_area import ATTRIBUTE, DIRECTORIES, FILES, NameArea, NameCalls
from ioprof.workloads.operation_mix import OPERATIONS, OperationMix, parse_mix
from pydantic import Field

from ioprof.contract import (
    Access,
    EpochStart,
    Indices,
    ObjectSizes,
    PluginParams,
    SampleReader,
    ScratchNeed,
    Setting,
)
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.size_text import parse_sizes
from ioprof.errors import SpecError, StoreError
from ioprof.host.facts import store_facts
from ioprof.spec.quantities import Count
from ioprof.store.base import Store
from ioprof.store.tap import Tap
from ioprof.trace.kinds import Kind

DEFAULT_MIX = "stat:50,open:20,create:8,rename:4,unlink:8,mkdir:2,rmdir:2,getxattr:3,setxattr:2,list:1"
_LOCAL_ONLY = ("open", "mkdir", "rmdir", "getxattr", "setxattr")
"""Object stores open nothing and have no directories of their own; attributes are asked of files."""
_ATTRIBUTES = ("getxattr", "setxattr")
_NO_ATTRIBUTES = (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM)
_NEVER_COLD = (
    "Names and inodes that this host had in memory cost no trip to the store: of the two, only --drop-caches empties "
    "those caches, not --cache."
)
_DONE = b"\x00"
"""What a sample is: that its operation was done."""
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_SCRATCH = ScratchNeed(
    size_bytes=2**20, names=100, size_bytes_per_worker=2**20, names_per_worker=2 * FILES + DIRECTORIES + 200
)
"""What each worker begins with and its directory, with room for creating to run ahead of removing."""


class MetadataStormParams(PluginParams):
    """Which names there are, and what is done with them."""

    files: Count = Field(50_000, ge=1, le=10**9, description="number of files that are looked at, never changed")
    file_size: SizesText = Field("1B", description="how large they are; tiny, because nothing reads them")
    files_per_dir: Count = Field(500, ge=1, le=10**7, description="most entries in one of their directories")
    operations: Count = Field(500_000, ge=1, le=10**9, description="operations of one epoch, of all workers together")
    mix: Annotated[str, parsed_by(parse_mix)] = Field(
        DEFAULT_MIX,
        description="share of each operation: " + ", ".join(sorted(OPERATIONS)) + "; what is created must be removed",
    )
    scan_at_epoch_start: bool = Field(
        True, description="each worker lists the whole tree at the start of an epoch, as training jobs do"
    )
    shared_directory: bool = Field(False, description="all workers create in one directory instead of each in its own")


class NameReader:
    """Does the operations that samples stand for; picklable."""

    def __init__(self, layout: OpaqueLayout, mix: OperationMix, params: MetadataStormParams) -> None:
        self._layout = layout
        self._mix = mix
        self._params = params
        self._stops = mix.stops(params.operations)
        self._areas: WeakKeyDictionary[Tap, NameArea] = WeakKeyDictionary()
        self._epochs: WeakKeyDictionary[Tap, int] = WeakKeyDictionary()

    def __reduce__(self) -> tuple[object, ...]:
        return NameReader, (self._layout, self._mix, self._params)

    def begin_epoch(self, tap: Tap, start: EpochStart) -> None:
        """Make the worker's own names when it first comes here; walk the tree if that is asked for."""
        calls = NameCalls(tap, tap.root)
        if tap not in self._areas:
            self._areas[tap] = area = NameArea(calls, self._prefix(tap, start))
            area.prepare(self._mix.names)
        self._epochs[tap] = start.epoch
        if self._params.scan_at_epoch_start:
            calls.walk("")

    def _prefix(self, tap: Tap, start: EpochStart) -> str:
        # The process is named too: a worker that starts anew in each epoch must not meet its forerunner's names.
        worker = f"worker-{start.rank}-{start.worker}-{os.getpid()}"
        if self._params.shared_directory:
            tap.store.make_dir(f"{start.scratch}/shared")
            return f"{tap.root}{start.scratch}/shared/{worker}-"
        tap.store.make_dir(f"{start.scratch}/{worker}")
        return f"{tap.root}{start.scratch}/{worker}/"

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes]:
        """Do each sample's operation, those of one name together; return one byte for each that did not fail."""
        numbers = np.sort(np.array(samples, dtype=np.int64))
        stops = np.searchsorted(numbers, self._stops).tolist()
        failed_before = tap.failed_samples
        for name, start, stop in zip(self._mix.names, [0, *stops], stops, strict=False):
            if stop > start:
                self._do(tap, name, numbers[start:stop])
        # A scan is several operations: where more than one of them failed, it is still one sample.
        failed = min(tap.failed_samples - failed_before, len(samples))
        tap.failed_samples = failed_before + failed
        return [_DONE] * (len(samples) - failed)

    def _do(self, tap: Tap, name: str, samples: Indices) -> None:
        area = self._areas[tap]
        calls = area.calls
        if name in ("stat", "open"):
            objects = self._files(samples, self._epochs[tap])
            kind = Kind.STAT if name == "stat" else Kind.OPEN
            calls.each(kind, self._layout.paths(objects.tolist(), calls.root), objects)
        elif name in ("list", "scan"):
            self._look(calls, name, samples, self._epochs[tap])
        elif name in _ATTRIBUTES:
            area.attributes(Kind.GETXATTR if name == "getxattr" else Kind.SETXATTR, samples.tolist())
        else:
            change = {
                "create": area.create,
                "unlink": area.unlink,
                "rename": area.rename,
                "mkdir": area.make_dirs,
                "rmdir": area.remove_dirs,
            }[name]
            change(len(samples))

    def _files(self, samples: Indices, epoch: int) -> Indices:
        """Return which prepared file each sample is about: scattered, each about equally often, others each epoch."""
        turn = samples.astype(np.uint64) + np.uint64(epoch * self._params.operations)
        scattered = (turn * _GOLDEN) >> np.uint64(32)
        return (scattered % np.uint64(self._layout.count)).astype(np.int64)

    def _look(self, calls: NameCalls, name: str, samples: Indices, epoch: int) -> None:
        naming = self._layout.naming
        leaves = (self._files(samples, epoch) // naming.files_per_dir).tolist()
        if name == "list":
            calls.each(Kind.LIST, [calls.root + naming.directory(leaf) for leaf in leaves])
            return
        for leaf in leaves:
            calls.walk(naming.directory(leaf).partition("/")[0])


class MetadataStorm:
    """Operations on names, hardly any data."""

    name: ClassVar[str] = "metadata-storm"
    summary: ClassVar[str] = "operations on names, not data: stat, open, create, rename, unlink, list per second"
    Params: ClassVar[type[PluginParams]] = MetadataStormParams
    reference_model: ClassVar[str | None] = None
    access: ClassVar[Access] = "map"
    defaults: ClassVar[Mapping[str, Setting]] = {
        "loader.name": "processes",
        "loader.batch_size": 1000,
        "accelerator.name": "none",
        "run.cache": "asis",
    }

    def __init__(self, params: MetadataStormParams, seed: int) -> None:
        self._params = params
        self._seed = seed
        self._mix = parse_mix(params.mix)
        self._layout = OpaqueLayout(
            count=params.files, sizes=parse_sizes(params.file_size), files_per_dir=params.files_per_dir, seed=seed
        )

    def layout(self) -> OpaqueLayout:
        """Return the files to look at."""
        return self._layout

    def samples(self) -> int:
        """Return the number of operations."""
        return self._params.operations

    def order(self, epoch: int) -> Indices:
        """Return the operations in the order of ``epoch``, every stretch holding the mix."""
        return self._mix.order(self._params.operations, self._seed, epoch)

    def discover(self, store: Store, tap: Tap) -> int:
        """Return the number of operations: they need no looking for."""
        return self._params.operations

    def reader(self, sizes: ObjectSizes) -> SampleReader:
        """Return what does the operations; sizes do not matter to them."""
        return NameReader(self._layout, self._mix, self._params)

    def scratch_need(self) -> ScratchNeed:
        """Return room for some hundred empty files and directories of each worker."""
        return _SCRATCH

    def check_scratch(self, store: Store, scratch: str) -> Sequence[str]:
        """Refuse operations that the store does not have; leave attributes out where the file system has none.

        Raises:
            SpecError: the mix asks for what such a store does not have.
            StoreError: nothing of the mix is left, or trying the attributes failed for another reason.
        """
        if store.local_root is None:
            self._refuse_local_only(store)
            return []
        asked = [name for name in self._mix.names if name in _ATTRIBUTES]
        directory = f"{store.local_root}/{scratch}"
        try:
            lacking = _lacking_attributes(directory) if asked else None
        except OSError as error:
            raise StoreError(
                f"{directory}: extended attributes cannot be tried there: {error.strerror or error}; "
                f"use a --mix without {' and '.join(asked)}, or another --store"
            ) from error
        if lacking is None:
            return [_NEVER_COLD]
        left = self._mix.without(_ATTRIBUTES)
        if left is None:
            raise StoreError(f"{lacking}; use another --mix or another --store")
        self._mix = left
        left_out = f"{lacking}: {' and '.join(asked)} left out of the mix, the other operations share their place."
        return [left_out, _NEVER_COLD]

    def finish(self, store: Store, scratch: str) -> str | None:
        """Return None: nothing of the run is kept."""
        return None

    def _refuse_local_only(self, store: Store) -> None:
        lacking = [name for name in self._mix.names if name in _LOCAL_ONLY]
        if not lacking:
            return
        left = self._mix.without(lacking)
        advice = f"use --mix {left}" if left else "use --mix stat:5,create:2,unlink:2,list:1"
        raise SpecError(
            f"workload.mix: {', '.join(lacking)}: not to be had on {store.url.partition('://')[0]}:// stores, which "
            f"open nothing and keep no directories; {advice}"
        )


def _lacking_attributes(directory: str) -> str | None:
    """Return the sentence that says that files in a directory cannot carry attributes; None where they can.

    Raises:
        OSError: trying it failed for another reason.
    """
    path = f"{directory}/attribute-0"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o666))
    try:
        os.setxattr(path, ATTRIBUTE, b"1")
    except OSError as error:
        if error.errno not in _NO_ATTRIBUTES:
            raise
        facts = store_facts(directory)
        return f"{facts.get('filesystem')} on {facts.get('mount_point')} has no extended attributes ({error.strerror})"
    finally:
        os.unlink(path)
    return None
