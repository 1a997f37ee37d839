"""Parquet shards: fixed-size binary columns in row groups, plain encoding, no compression; read by pyarrow.

They are written by code of our own, page by page: a writer library holds whole row groups, puts its version into the
footer, and cannot say beforehand how large a file will be. All shards have the same structure, so they have one footer
and one size. pyarrow reads them, as training scripts do, through a file object whose every read is traced.
Source: apache/parquet-format, README.md and src/main/thrift/parquet.thrift.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar

import numpy as np
from ioprof.workloads.shards.arrow_source import ArrowSource
from ioprof.workloads.shards.fixed import fixed_sample_bytes
from ioprof.workloads.shards.format import OpenShard, Sample
from ioprof.workloads.shards.shape import Piece, ShardShape, same_for_all
from ioprof.workloads.shards.thrift import I32, Value, struct

from ioprof.dataset.sizes import Sizes
from ioprof.errors import SpecError
from ioprof.formats.arrow_rows import Rows, fixed_rows, row_views
from ioprof.formats.buffers import BufferPool
from ioprof.formats.errors import ShardError
from ioprof.trace.kinds import BAD_FORMAT, MISSING_COLUMN

_MAGIC = b"PAR1"
_PAGE_BYTES = 1 << 20
_FIXED_LEN_BYTE_ARRAY, _REQUIRED, _PLAIN, _RLE, _UNCOMPRESSED, _DATA_PAGE = (
    I32(7),
    I32(0),
    I32(0),
    I32(3),
    I32(0),
    I32(0),
)
MAX_COLUMNS = 10_000


@dataclass(frozen=True)
class ParquetFormat:
    """A sample is a row; its bytes are cut into ``columns``, of which the first ``project`` are read."""

    shape: ShardShape
    columns: int
    project: int
    row_group: int
    """Rows of a row group; the last one of a shard may have fewer."""
    suffix: ClassVar[str] = ".parquet"

    def __post_init__(self) -> None:
        sample_bytes = fixed_sample_bytes(self.shape, "parquet")
        if self.columns > sample_bytes:
            raise SpecError(f"columns = {self.columns}: more than the {sample_bytes} bytes of a sample; use fewer")
        if self.project > self.columns:
            raise SpecError(f"project = {self.project}: more than the {self.columns} columns there are; use fewer")

    def __reduce__(self) -> tuple[type[ParquetFormat], tuple[ShardShape, int, int, int]]:
        # What was computed once stays here: a footer may be large.
        return ParquetFormat, (self.shape, self.columns, self.project, self.row_group)

    @property
    def unit_samples(self) -> int | None:
        """A row group is read on its own."""
        return self.row_group

    @cached_property
    def widths(self) -> list[int]:
        """Bytes of a row in each column: as equal as they can be, wider ones first."""
        width, wider = divmod(fixed_sample_bytes(self.shape, "parquet"), self.columns)
        return [width + (column < wider) for column in range(self.columns)]

    @cached_property
    def groups(self) -> list[int]:
        """Rows of each row group of a shard."""
        rows = self.shape.samples_per_shard
        return [min(self.row_group, rows - first) for first in range(0, rows, self.row_group)]

    def load(self) -> None:
        """Import pyarrow."""
        importlib.import_module("pyarrow.parquet")

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return what the shape does not say; which columns are read decides no bytes."""
        return {
            "shard_format": "parquet",
            "shard_format_version": 1,
            "columns": self.columns,
            "row_group": self.row_group,
        }

    def sizes(self, start: int, stop: int) -> Sizes:
        """Return the one size of all shards."""
        return same_for_all(self._data_end + len(self._footer) + 2 * len(_MAGIC), start, stop)

    def pieces(self, shard: int) -> Iterator[Piece]:
        """Yield the shard row group by row group, column by column, page by page."""
        content = self.shape.content()
        yield _MAGIC
        page = shard * sum(len(_pages(rows, width)) for rows in self.groups for width in self.widths)
        for rows in self.groups:
            for width in self.widths:
                for page_rows in _pages(rows, width):
                    yield _page_header(page_rows, width)
                    yield from content.pieces(page, page_rows * width)
                    page += 1
        yield self._footer
        yield len(self._footer).to_bytes(4, "little")
        yield _MAGIC

    def read(self, opened: OpenShard, first: int, stop: int) -> Iterator[Sample]:
        """Yield the projected columns of each row, joined; row group by row group."""
        import pyarrow.parquet as pq

        source = ArrowSource(opened)
        with source.working():
            file = pq.ParquetFile(source.file(), pre_buffer=False)
            names = [_column(number) for number in range(self.project)]
            missing = [name for name in names if name not in file.schema_arrow.names]
            groups = range(first // self.row_group, -(-stop // self.row_group))
            found = file.num_row_groups
        if missing:
            raise ShardError(MISSING_COLUMN, f"there is no column {missing[0]}")
        if found < groups.stop:
            raise ShardError(BAD_FORMAT, f"{found} row groups, where {groups.stop} are needed")
        for group in groups:
            with source.working():
                table = file.read_row_group(group, columns=names, use_threads=False)
                columns = [fixed_rows(table.column(name).combine_chunks()) for name in names]
                rows = columns[0] if len(columns) == 1 else _joined(columns, opened.pool)
            if len(rows) != self.groups[group]:
                raise ShardError(BAD_FORMAT, f"row group {group} has {len(rows)} rows, not {self.groups[group]}")
            yield from row_views(rows)

    @property
    def _data_end(self) -> int:
        return self._end[1]

    @property
    def _footer(self) -> bytes:
        return self._end[0]

    @cached_property
    def _end(self) -> tuple[bytes, int]:
        return _footer_of(tuple(self.groups), tuple(self.widths))


@lru_cache(maxsize=4)
def _footer_of(groups: tuple[int, ...], widths: tuple[int, ...]) -> tuple[bytes, int]:
    """Return the footer and where the data before it ends.

    Kept, because hundreds of columns in hundreds of row groups take seconds, and a run asks in several places.

    Args:
        groups: rows of each row group.
        widths: bytes of a row in each column.
    """
    at = len(_MAGIC)
    structure: list[Value] = []
    for rows in groups:
        chunks: list[Value] = []
        group_start = at
        for column, width in enumerate(widths):
            chunk_bytes = sum(len(_page_header(n, width)) + n * width for n in _pages(rows, width))
            chunks.append(_chunk(_column(column), rows, at, chunk_bytes))
            at += chunk_bytes
        structure.append({1: chunks, 2: at - group_start, 3: rows})
    root: Value = {4: "schema", 5: I32(len(widths))}
    leaves: list[Value] = [
        {1: _FIXED_LEN_BYTE_ARRAY, 2: I32(width), 3: _REQUIRED, 4: _column(number)}
        for number, width in enumerate(widths)
    ]
    return struct({1: I32(1), 2: [root, *leaves], 3: sum(groups), 4: structure, 6: "ioprof"}), at


def _pages(rows: int, width: int) -> list[int]:
    """Return the rows of each page of a column chunk: about `_PAGE_BYTES`, one row at least."""
    each = max(1, _PAGE_BYTES // width)
    return [min(each, rows - first) for first in range(0, rows, each)]


def _column(number: int) -> str:
    return f"c{number}"


def _joined(columns: list[Rows], pool: BufferPool) -> Rows:
    """Return rows of several columns as rows of one."""
    shape = len(columns[0]), sum(column.shape[1] for column in columns)
    out = np.frombuffer(pool.take(shape[0] * shape[1]), dtype=np.uint8).reshape(shape)
    return np.concatenate(columns, axis=1, out=out)


@lru_cache(maxsize=256)
def _page_header(rows: int, width: int) -> bytes:
    size = I32(rows * width)
    return struct({1: _DATA_PAGE, 2: size, 3: size, 5: {1: I32(rows), 2: _PLAIN, 3: _RLE, 4: _RLE}})


def _chunk(name: str, rows: int, at: int, size_bytes: int) -> Value:
    facts: Value = {
        1: _FIXED_LEN_BYTE_ARRAY, 2: [_PLAIN], 3: [name], 4: _UNCOMPRESSED, 5: rows,
        6: size_bytes, 7: size_bytes, 9: at,
    }  # fmt: skip
    return {2: at, 3: facts}
