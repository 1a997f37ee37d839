"""Arrow IPC shards: record batches of one fixed-size binary column; written and read by pyarrow.

pyarrow's frames may change with its version, so a digest of one is part of the dataset's identity.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from ioprof.workloads.shards.arrow_source import ArrowSource
from ioprof.workloads.shards.fixed import fixed_sample_bytes
from ioprof.workloads.shards.format import OpenShard, Sample
from ioprof.workloads.shards.shape import Piece, ShardShape, same_for_all

from ioprof.dataset.sizes import Sizes
from ioprof.formats.arrow_rows import fixed_rows, row_views
from ioprof.formats.errors import ShardError
from ioprof.trace.kinds import BAD_FORMAT, MISSING_COLUMN

if TYPE_CHECKING:
    import pyarrow as pa

_COLUMN = "sample"


@dataclass(frozen=True)
class ArrowFormat:
    """Record batches: read one at a time, samples shown where they were read to, without a copy."""

    shape: ShardShape
    row_group: int
    """Rows of a record batch; the last one of a shard may have fewer."""
    suffix: ClassVar[str] = ".arrow"

    def __post_init__(self) -> None:
        fixed_sample_bytes(self.shape, "arrow")

    def __reduce__(self) -> tuple[type[ArrowFormat], tuple[ShardShape, int]]:
        return ArrowFormat, (self.shape, self.row_group)

    @property
    def unit_samples(self) -> int | None:
        """A record batch is read on its own."""
        return self.row_group

    @cached_property
    def batches(self) -> list[int]:
        """Rows of each record batch of a shard."""
        rows = self.shape.samples_per_shard
        return [min(self.row_group, rows - first) for first in range(0, rows, self.row_group)]

    def load(self) -> None:
        """Import pyarrow."""
        importlib.import_module("pyarrow")

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return what the shape does not say, and what pyarrow's frames look like."""
        digest = hashlib.sha256(b"".join(_file(8, [(2, bytes(16)), (1, bytes(8))]))).hexdigest()
        return {
            "shard_format": "arrow",
            "shard_format_version": 1,
            "row_group": self.row_group,
            "frame_sha256": digest[:16],
        }

    def sizes(self, start: int, stop: int) -> Sizes:
        """Return the one size of all shards."""
        return same_for_all(self._shard_bytes, start, stop)

    def pieces(self, shard: int) -> Iterator[Piece]:
        """Yield the shard record batch by record batch."""
        return _file(fixed_sample_bytes(self.shape, "arrow"), self._filled(shard))

    def read(self, opened: OpenShard, first: int, stop: int) -> Iterator[Sample]:
        """Yield rows as views of what was read."""
        import pyarrow as pa

        source = ArrowSource(opened)
        with source.working():
            reader = pa.ipc.open_file(source.file())
            found, names = reader.num_record_batches, reader.schema.names
        batches = range(first // self.row_group, -(-stop // self.row_group))
        if _COLUMN not in names:
            raise ShardError(MISSING_COLUMN, f"there is no column {_COLUMN}")
        if found < batches.stop:
            raise ShardError(BAD_FORMAT, f"{found} record batches, where {batches.stop} are needed")
        for number in batches:
            with source.working():
                rows = fixed_rows(reader.get_batch(number).column(_COLUMN))
            if len(rows) != self.batches[number]:
                raise ShardError(BAD_FORMAT, f"record batch {number}: {len(rows)} rows, not {self.batches[number]}")
            yield from row_views(rows)

    def _filled(self, shard: int) -> Iterator[tuple[int, bytes]]:
        """Yield rows and content of each record batch."""
        content, width = self.shape.content(), fixed_sample_bytes(self.shape, "arrow")
        for number, rows in enumerate(self.batches, shard * len(self.batches)):
            yield rows, b"".join(map(bytes, content.pieces(number, rows * width)))

    @cached_property
    def _shard_bytes(self) -> int:
        """Measured on a shard of zeros that is counted and not kept: all shards have the same structure."""
        import pyarrow as pa

        width = fixed_sample_bytes(self.shape, "arrow")
        zeros = pa.py_buffer(bytes(self.batches[0] * width))
        sink = pa.MockOutputStream()
        schema = _schema(width)
        with pa.ipc.new_file(sink, schema) as writer:
            for rows in self.batches:
                writer.write_batch(_batch(schema, rows, zeros.slice(0, rows * width)))
        return int(sink.size())


class _Sink:
    """Collects what pyarrow writes until it is taken away."""

    closed = False

    def __init__(self) -> None:
        self.parts: list[bytes] = []

    def write(self, content: bytes) -> int:
        self.parts.append(bytes(content))
        return len(content)

    def taken(self) -> list[bytes]:
        parts, self.parts = self.parts, []
        return parts

    def flush(self) -> None:
        """Nothing waits anywhere."""

    def close(self) -> None:
        """Nothing was opened."""


def _file(width: int, batches: Iterator[tuple[int, bytes]] | list[tuple[int, bytes]]) -> Iterator[bytes]:
    """Yield an Arrow file of these batches, rows and content of each."""
    import pyarrow as pa

    sink, schema = _Sink(), _schema(width)
    with pa.ipc.new_file(pa.PythonFile(sink, mode="w"), schema) as writer:
        for rows, content in batches:
            writer.write_batch(_batch(schema, rows, pa.py_buffer(content)))
            yield from sink.taken()
    yield from sink.taken()


def _schema(width: int) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([pa.field(_COLUMN, pa.binary(width), nullable=False)])


def _batch(schema: pa.Schema, rows: int, content: pa.Buffer) -> pa.RecordBatch:
    import pyarrow as pa

    values = pa.FixedSizeBinaryArray.from_buffers(schema.field(0).type, rows, [None, content])
    return pa.record_batch([values], schema=schema)
