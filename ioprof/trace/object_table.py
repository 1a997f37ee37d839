"""objects.parquet: the names and sizes of a run's objects, of runs whose dataset ioprof did not make."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ioprof.errors import RunDirectoryError
from ioprof.trace.schema import OBJECTS

OBJECTS_PARQUET = "objects.parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectTable:
    """One entry of each for every object, by its index."""

    paths: list[str]
    sizes_bytes: list[int | None]
    """None: nobody asked how large it is."""


def write_objects(directory: Path, paths: Sequence[str], sizes_bytes: Sequence[int | None]) -> None:
    """Write the table; objects are numbered in this order.

    Raises:
        OSError: the disk is full.
    """
    table = pa.table([range(len(paths)), list(paths), list(sizes_bytes)], schema=OBJECTS)
    pq.write_table(table, directory / OBJECTS_PARQUET, compression="zstd")


def read_objects(directory: Path) -> ObjectTable | None:
    """Return the names and sizes; None where the run has no such table.

    Raises:
        RunDirectoryError: it cannot be read, or objects are missing in it.
    """
    path = directory / OBJECTS_PARQUET
    if not path.exists():
        return None
    try:
        table = pq.read_table(path, columns=OBJECTS.names).sort_by("object")
    except (OSError, pa.ArrowException) as error:
        raise RunDirectoryError(f"{path}: cannot be read, it was cut short or damaged ({error})") from error
    if table["object"].to_pylist() != list(range(table.num_rows)):
        raise RunDirectoryError(f"{path}: corrupt: its objects are not numbered from 0 without gaps")
    return ObjectTable(paths=table["path"].to_pylist(), sizes_bytes=table["size_bytes"].to_pylist())
