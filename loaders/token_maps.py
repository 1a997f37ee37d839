"""Reads windows of tokens out of mappings that no tap knows of: what a library that maps its files does."""

from __future__ import annotations

import mmap
import os
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import ClassVar

import numpy as np
from ioprof.workloads.token_index import IndexHeader, check_index

from ioprof.contract import SampleBytes, StoredSamples
from ioprof.errors import DatasetError
from ioprof.store.open_files import OpenFiles
from ioprof.store.tap import Tap
from ioprof.trace.kinds import SHORT_READ, error_code

_KEPT_FILES = 512
"""Token files that a worker keeps mapped; Python holds a descriptor for each, and 1,024 are usual."""
_ADVICE = {"normal": mmap.MADV_NORMAL, "random": mmap.MADV_RANDOM, "sequential": mmap.MADV_SEQUENTIAL}


class _KeptMaps(OpenFiles):
    """The mappings of one tap, which has them given back when an epoch ends: mapped pages cannot be evicted.

    Not the reader's own `end_epoch`: that is for readers that write, whose killed workers lose data.
    """

    def __init__(self, open_one: Callable[[int], mmap.mmap | None]) -> None:
        self._map_one = open_one
        self._maps: OrderedDict[int, mmap.mmap] = OrderedDict()

    def mapped(self, obj: int) -> mmap.mmap | None:
        """Return an object's mapping, made where it is not; None where the file is too short."""
        found = self._maps.get(obj)
        if found is not None:
            self._maps.move_to_end(obj)
            return found
        made = self._map_one(obj)
        if made is not None:
            while len(self._maps) >= _KEPT_FILES:
                self._maps.popitem(last=False)[1].close()
            self._maps[obj] = made
        return made

    def unmap(self) -> None:
        """Give all mappings back; safe to call twice."""
        while self._maps:
            self._maps.popitem()[1].close()

    def close(self) -> None:
        """Give all mappings back; safe to call twice."""
        self.unmap()


class TokenMaps:
    """Copies each window out of its file's mapping; picklable, maps where it reads, at the first window of a file."""

    reads_natively: ClassVar[bool] = True

    def __init__(self, stored: StoredSamples) -> None:
        """Say what is read; see ``details`` of `StoredSamples`."""
        self._stored = stored
        details = stored.details
        self._header = IndexHeader(
            token_bytes=int(details["token_bytes"]), tokens=int(details["tokens"]), documents=int(details["documents"])
        )
        self._stride_bytes = int(details["sequence_length"]) * self._header.token_bytes
        self._advice = _ADVICE[str(details["madvise"])]

    def __reduce__(self) -> tuple[type[TokenMaps], tuple[StoredSamples]]:
        # Mappings stay in the process and thread that made them.
        return TokenMaps, (self._stored,)

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[SampleBytes]:
        """Return each window's bytes, decoded; those of files that cannot be mapped are left out, and counted.

        Raises:
            DatasetError: a file's index does not match it.
        """
        stored, length = self._stored, self._stride_bytes + self._header.token_bytes
        if not isinstance(maps := tap.kept, _KeptMaps):
            maps = tap.kept = _KeptMaps(partial(self._map_tokens, tap))
        batch = np.empty(len(samples) * length, dtype=np.uint8)
        batch[:: mmap.PAGESIZE] = 0  # its own page faults, taken now: those of the copies are to be the store's
        contents: list[SampleBytes] = []
        for place, sample in enumerate(samples):
            file, window = divmod(sample, stored.samples_per_object)
            obj = int(stored.objects[file])
            try:
                mapped = maps.mapped(obj)
            except OSError as error:
                tap.reject(error_code(error), obj)
                continue
            if mapped is None:
                tap.reject(SHORT_READ, obj)
                continue
            target = batch[place * length : (place + 1) * length]
            target[:] = np.frombuffer(mapped, dtype=np.uint8, count=length, offset=window * self._stride_bytes)
            content: SampleBytes = target.data
            contents.append(content if stored.decode is None else tap.decode(stored.decode, content, obj))
        return contents

    def _map_tokens(self, tap: Tap, obj: int) -> mmap.mmap | None:
        """Check a token file's index and map it; None where the file is shorter than its index says."""
        self._check_index(tap, obj + 1)
        made = _map_of(self._stored.full_path(tap.store, obj), self._header.tokens * self._header.token_bytes)
        if made is not None:
            made.madvise(self._advice)
        return made

    def _check_index(self, tap: Tap, obj: int) -> None:
        """Map the index, as the tokens are, and hold it against what should be stored."""
        path = self._stored.path(obj)
        made = _map_of(self._stored.full_path(tap.store, obj), self._header.index_bytes)
        if made is None:
            raise DatasetError(f"{path}: cut short; run ioprof prepare with --verify")
        with made:
            check_index(path, made[:], self._header)


def _map_of(path: str, size_bytes: int) -> mmap.mmap | None:
    """Map so many bytes; None where there are fewer: touching a page behind a file's end kills the process."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.fstat(descriptor).st_size < size_bytes:
            return None
        return mmap.mmap(descriptor, size_bytes, prot=mmap.PROT_READ)
    finally:
        os.close(descriptor)
