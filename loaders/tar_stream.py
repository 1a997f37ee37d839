"""Tar shards read front to back through the tap, in large reads, without a copy of any sample."""

from __future__ import annotations

from collections.abc import Iterator

from ioprof.loaders.stored_parts import stretches_of

from ioprof.contract import Part, SampleBytes, StoredSamples
from ioprof.formats.buffers import BufferPool
from ioprof.formats.errors import ShardError
from ioprof.formats.ustar import Walk, compiled_walk, tar_samples
from ioprof.formats.window import Window
from ioprof.store.tap import Tap
from ioprof.trace.kinds import BAD_FORMAT


class _Rejects:
    """Counts the samples of one shard that are no good."""

    def __init__(self, tap: Tap, shard: int) -> None:
        self._tap = tap
        self._shard = shard
        self.samples = 0

    def reject(self, code: int, samples: int = 1) -> None:
        self._tap.reject(code, self._shard, samples)
        self.samples += samples


class TarStream:
    """The samples of tar shards in the order of the shards; picklable."""

    def __init__(self, stored: StoredSamples, read_bytes: int) -> None:
        """Say what is read.

        Args:
            stored: the shards.
            read_bytes: the most that one read asks for.
        """
        self._stored = stored
        self._read_bytes = read_bytes
        self._pool: BufferPool | None = None

    def __reduce__(self) -> tuple[type[TarStream], tuple[StoredSamples, int]]:
        # Buffers stay in the process that fills them.
        return TarStream, (self._stored, self._read_bytes)

    def samples(self, tap: Tap, epoch: int, part: Part) -> Iterator[SampleBytes]:
        """Yield one epoch's samples of ``part``; see `ioprof.contract.SampleStream`."""
        self._pool = self._pool or BufferPool()
        walk, decode = compiled_walk(), self._stored.decode
        for shard, _, _ in stretches_of(self._stored, epoch, part):
            samples: Iterator[SampleBytes] = self._shard(tap, self._pool, shard, walk)
            if decode is None:
                yield from samples
            else:
                for sample in samples:
                    yield tap.decode(decode, sample, shard)

    def _shard(self, tap: Tap, pool: BufferPool, shard: int, walk: Walk | None) -> Iterator[memoryview]:
        """Yield a shard's samples; those that a failure costs are counted, and the stream goes on."""
        stored, rejects, found = self._stored, _Rejects(tap, shard), 0
        try:
            with tap.open_file(stored.path(shard), shard, sequential=True) as file:
                stop = stored.sizes.of([shard])[0]
                window = Window(file, pool, read_bytes=self._read_bytes, start=0, stop=stop)
                for sample in tar_samples(window, rejects, walk):
                    found += 1
                    yield sample
            if found + rejects.samples < stored.samples_per_object:
                raise ShardError(BAD_FORMAT, "the archive ends too early")
        except OSError:
            tap.lose(max(0, stored.samples_per_object - found - rejects.samples))
        except ShardError as error:
            tap.reject(error.code, shard, max(0, stored.samples_per_object - found - rejects.samples))
