"""What a shard format must do, and what it is handed to read with."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from ioprof.workloads.shards.shape import Piece, ShardShape

from ioprof.dataset.sizes import Sizes
from ioprof.formats.buffers import BufferPool
from ioprof.store.tap import Tap
from ioprof.store.tap_file import TapFile
from ioprof.trace.kinds import EMPTY_SAMPLE, Kind

Sample = bytes | memoryview
_DECODED_BYTES = 1 << 20


@dataclass(slots=True, kw_only=True)
class OpenShard:
    """A shard that is open for reading, and the count of what came of it."""

    shard: int
    tap: Tap
    pool: BufferPool
    size_bytes: int
    """Its size as the manifest says."""
    read_bytes: int
    """The most that one read asks for."""
    file: TapFile = field(init=False)
    """Set once it is open."""
    rejected: int = 0
    """Samples that were found and are no good."""
    _decoded_ns: int = 0
    _decoded_bytes: int = 0

    def decoded(self, duration_ns: int, size_bytes: int) -> None:
        """Note CPU work of the format itself, such as checksums: recorded as decode, a mebibyte at a time.

        An operation is recorded as long as the work took, and ends now: when inside the batch it was done is not kept.
        """
        self._decoded_ns += duration_ns
        self._decoded_bytes += size_bytes
        if self._decoded_bytes >= _DECODED_BYTES:
            self.finish()

    def finish(self) -> None:
        """Record what `decoded` still keeps."""
        if self._decoded_ns:
            now = time.perf_counter_ns()
            self.tap.recorder.record(Kind.DECODE, now - self._decoded_ns, now, self._decoded_bytes, self.shard, 0)
            self._decoded_ns = self._decoded_bytes = 0

    def reject(self, code: int, samples: int = 1) -> None:
        """Count an error, by its code of `ioprof.trace.kinds`, and the samples that it costs; their bytes were read."""
        self.tap.reject(code, self.shard, samples)
        self.rejected += samples

    def is_empty(self, size_bytes: int) -> bool:
        """Return whether a sample has no bytes, and count it as an error if so."""
        if not size_bytes:
            self.reject(EMPTY_SAMPLE)
        return not size_bytes


class ShardFormat(Protocol):
    """How samples stand in a shard; picklable, and small whatever their number."""

    @property
    def shape(self) -> ShardShape:
        """How many samples there are, and how large."""
        ...

    @property
    def suffix(self) -> str:
        """The end of the shards' names, with the dot."""
        ...

    @property
    def unit_samples(self) -> int | None:
        """Samples that can be reached without those before them, and read on their own: one, a batch, a row group.

        None: a shard can only be read from its start.
        """
        ...

    def load(self) -> None:
        """Import what reading needs: before workers start, so that it is not taken for a slow first batch."""
        ...

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return all that decides stored bytes, the shape apart."""
        ...

    def sizes(self, start: int, stop: int) -> Sizes:
        """Return the sizes in bytes of shards ``start`` to ``stop`` - 1."""
        ...

    def pieces(self, shard: int) -> Iterator[Piece]:
        """Yield a shard's bytes in order; a buffer may be used again once the next one is asked for."""
        ...

    def read(self, opened: OpenShard, first: int, stop: int) -> Iterator[Sample]:
        """Yield samples ``first`` to ``stop`` - 1 of a shard; both are on the border of a unit, or the shard's own.

        Bytes that were yielded never change. Samples that are no good are told to `OpenShard.reject` and left out.

        Raises:
            OSError: a read failed and has been counted; the samples not yielded or rejected are lost.
            ShardError: the rest of the shard makes no sense; likewise.
        """
        ...
