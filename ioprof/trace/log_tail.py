"""Reads a growing log (`ioprof.trace.recordlog`) again and again, each time only what was written since."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from ioprof.trace.opsfile import Words
from ioprof.trace.recordlog import COMMITTED, WORD

_LEAST_BYTES, _MOST_BYTES = 1 << 14, 1 << 22


class LogTail:
    """One log, and how far it was read."""

    def __init__(self, path: Path, fields: int) -> None:
        """Open nothing yet: the file may not be there.

        Args:
            path: of the log.
            fields: columns of a row.
        """
        self._path = path
        self._fields = fields
        self._offset = 0
        self._descriptor = -1

    def fresh(self) -> Words:
        """Return the rows that were committed since the last call, shape (rows, fields).

        Raises:
            OSError: the file is there and cannot be read.
        """
        if self._descriptor < 0:
            try:
                self._descriptor = os.open(self._path, os.O_RDONLY)
            except FileNotFoundError:
                return np.zeros((0, self._fields), np.int64)
        parts, size_bytes = [], _LEAST_BYTES
        while True:
            rows, whole = self._rows(size_bytes)
            parts.append(rows)
            if not whole:
                return np.concatenate(parts)
            # Whoever begins late has much to read; whoever keeps up, a page or two.
            size_bytes = min(size_bytes * 2, _MOST_BYTES)

    def _rows(self, size_bytes: int) -> tuple[Words, bool]:
        """Return the next committed rows, and whether more may follow."""
        width = self._fields + 1
        count = max(1, size_bytes // (width * WORD))
        read = os.pread(self._descriptor, count * width * WORD, self._offset)
        rows = np.frombuffer(read, np.int64, len(read) // (width * WORD) * width).reshape(-1, width)
        committed = rows[:, -1] == COMMITTED
        done = len(rows) if committed.all() else int(np.argmin(committed))
        self._offset += done * width * WORD
        return rows[:done, :-1], done == count

    def close(self) -> None:
        """Let go of the file; safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
