"""Append-only files of fixed-size records, readable after SIGKILL at any moment: the consumer's steps and batches.

One mapping grows by whole segments whose disk space is reserved beforehand. A record exists once its last word,
always the constant `COMMITTED`, stands in the file; memory order within one process and a file-backed mapping make
that the last thing to appear.
"""

from __future__ import annotations

import mmap
import os
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa

WORD = 8
SEGMENT_RECORDS = 4096
COMMITTED = 0x0C0FFEE
_NULL = -1
"""Stands for null in nullable columns; no stamp, count or duration is ever negative."""


class RecordLog:
    """One table written row by row; every column is stored as an int64 word."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        """Create the file.

        Raises:
            OSError: it exists, or the disk has no room for one segment.
        """
        self._fields = len(schema)
        self._packer = struct.Struct(f"<{self._fields + 1}q")
        self._descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o644)
        self._segment = 0
        self._row = 0
        self._map = self._mapped()

    def append(self, *values: int) -> None:
        """Write one row.

        Raises:
            OSError: the disk is full; rows already written stay.
        """
        if self._row == SEGMENT_RECORDS:
            full, self._segment = self._map, self._segment + 1
            self._map, self._row = self._mapped(), 0
            full.close()
        self._packer.pack_into(self._map, self._row * self._packer.size, *values, COMMITTED)
        self._row += 1

    def _mapped(self) -> mmap.mmap:
        # Segments are mapped one at a time: offsets must be multiples of the page size, and 4096 rows always are.
        length = SEGMENT_RECORDS * self._packer.size
        os.posix_fallocate(self._descriptor, self._segment * length, length)
        return mmap.mmap(self._descriptor, length, offset=self._segment * length)

    def close(self) -> None:
        """Release the mapping; the file stays. Safe to call twice."""
        if self._descriptor >= 0:
            self._map.close()
            os.close(self._descriptor)
            self._descriptor = -1


def read_log(path: Path, schema: pa.Schema) -> pa.Table:
    """Return the committed rows as an Arrow table of ``schema``; an absent file is an empty table.

    Nullable columns that were added at the end of the schema since the file was written are null.
    """
    words = np.fromfile(path, dtype=np.int64) if path.exists() else np.zeros(0, dtype=np.int64)
    fields = _fields_written(words, schema)
    width = fields + 1
    rows = words[: len(words) // width * width].reshape(-1, width)
    rows = rows[rows[:, -1] == COMMITTED]
    columns = [_column(rows[:, i], field) for i, field in enumerate(list(schema)[:fields])]
    missing = [pa.nulls(len(rows), field.type) for field in list(schema)[fields:]]
    return pa.Table.from_arrays([*columns, *missing], schema=schema)


def _fields_written(words: np.ndarray[tuple[int], np.dtype[np.int64]], schema: pa.Schema) -> int:
    """Return how many columns the first row has: it ends where `COMMITTED` stands."""
    fields = len(schema)
    while fields < len(words) and words[fields] != COMMITTED and schema.field(fields - 1).nullable:
        fields -= 1
    return fields if fields < len(words) and words[fields] == COMMITTED else len(schema)


def _column(words: np.ndarray[tuple[int], np.dtype[np.int64]], field: pa.Field) -> pa.Array:
    mask = words == _NULL if field.nullable else None
    return pa.array(words, mask=mask).cast(field.type)
