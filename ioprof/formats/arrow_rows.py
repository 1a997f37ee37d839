"""Rows of Arrow's fixed-size binary columns, shown where they were read to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ioprof.formats.errors import ShardError
from ioprof.trace.kinds import BAD_FORMAT

if TYPE_CHECKING:
    import pyarrow as pa

Rows = NDArray[np.uint8]
"""Values of one size, shape (rows, bytes)."""


def fixed_rows(values: pa.FixedSizeBinaryArray) -> Rows:
    """Return an array's values without copying them.

    Raises:
        ShardError: they are of another type, or some are missing.
    """
    import pyarrow as pa

    if not pa.types.is_fixed_size_binary(values.type) or values.null_count:
        raise ShardError(BAD_FORMAT, f"a column of {values.type}, where fixed_size_binary without nulls belongs")
    width = values.type.byte_width
    content = values.buffers()[1]
    if not len(values) or not width:
        return np.empty((len(values), width), dtype=np.uint8)
    start = values.offset * width
    return np.frombuffer(content, dtype=np.uint8)[start : start + len(values) * width].reshape(-1, width)


def row_views(rows: Rows) -> Iterator[memoryview]:
    """Yield each row's bytes as a view."""
    width = rows.shape[1]
    view = rows.reshape(-1).data
    for start in range(0, len(view), width):
        yield view[start : start + width]
