"""The manifest: an Arrow file with the sizes of all objects, and another with paths that follow no rule.

Sizes stand in one uncompressed record batch for datasets up to `BATCH_OBJECTS`, so that readers map the file
and see one array without copying it. Where all objects are equally large the column is compressed to nothing
and readers get one number repeated. Arrow is imported when a manifest is opened or written, not before.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ioprof import __version__
from ioprof.dataset.layout import Naming
from ioprof.dataset.marker import BOOKKEEPING, identity_json
from ioprof.dataset.place import place
from ioprof.dataset.sizes import Sizes
from ioprof.errors import DatasetError
from ioprof.store.base import Store

if TYPE_CHECKING:
    import pyarrow as pa

    from ioprof.contract import Layout

MANIFEST_PATH = f"{BOOKKEEPING}/manifest.arrow"
NAMES_PATH = f"{BOOKKEEPING}/names.arrow"
MANIFEST_FORMAT = "1"
BATCH_OBJECTS = 16 * 1024**2
"""Sizes in one record batch: 128 MiB while writing, and the most that readers see without a copy."""
_CONSTANT_BATCH = 1024**2
_NAMES_BATCH = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a dataset holds."""

    count: int
    """Number of objects."""
    total_bytes: int
    """Bytes of all objects."""
    identity: str
    """The layout's identity as JSON."""
    version: str
    """Version of ioprof that wrote it."""
    fixed_size_bytes: int | None
    """The size of every object where all are equal."""
    sizes: Sizes
    """Size in bytes of each object; read-only, and a view of the mapped file where the store is local."""


def fixed_size(layout: Layout) -> int | None:
    """Return the size that all objects share, where the layout knows of one."""
    size_bytes = getattr(layout, "fixed_size_bytes", None)
    return size_bytes if isinstance(size_bytes, int) else None


def size_blocks(layout: Layout, block_objects: int = 65_536) -> Iterator[Sizes]:
    """Yield the sizes of all objects in order, a block at a time."""
    for start in range(0, layout.count, block_objects):
        yield layout.sizes(start, min(start + block_objects, layout.count))


def write_manifest(store: Store, layout: Layout, total_bytes: int) -> None:
    """Write the manifest of the dataset at the store's root, and the names where no rule gives them."""
    import pyarrow as pa

    fixed = fixed_size(layout)
    field = pa.field("size_bytes", pa.int64(), nullable=False, metadata={"unit": "B", "doc": "size of the object"})
    schema = pa.schema([field], metadata=_metadata(layout, total_bytes, fixed))
    compression = "lz4" if fixed is not None and pa.Codec.is_available("lz4") else None
    with _sink(store, MANIFEST_PATH) as sink:
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_file(sink, schema, options=options) as writer:
            for sizes in _batches(layout, _CONSTANT_BATCH if fixed is not None else BATCH_OBJECTS):
                writer.write_batch(pa.record_batch([pa.array(sizes)], schema=schema))
    if Naming.of(layout.identity()) is None:
        _write_names(store, layout)


def open_manifest(store: Store) -> Manifest:
    """Return the manifest of the dataset at the store's root.

    Raises:
        DatasetError: there is none, or it is damaged or of a newer version.
    """
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(_source(store, MANIFEST_PATH))
        metadata = {key.decode(): value.decode() for key, value in (reader.schema.metadata or {}).items()}
        if metadata["ioprof.format"] != MANIFEST_FORMAT:
            raise DatasetError(
                f"{place(store)}/{MANIFEST_PATH}: format {metadata['ioprof.format']} is newer than this "
                "ioprof; use that version"
            )
        return _manifest(reader, metadata)
    except FileNotFoundError as error:
        raise DatasetError(f"{place(store)}: no manifest ({MANIFEST_PATH}); run ioprof prepare again") from error
    except (pa.ArrowException, KeyError, ValueError, OSError) as error:
        raise DatasetError(
            f"{place(store)}/{MANIFEST_PATH}: damaged manifest ({error}); run ioprof prepare again"
        ) from error


def read_names(store: Store) -> Iterator[list[str]]:
    """Yield the paths of all objects, a batch at a time, of a dataset whose names follow no known rule.

    Raises:
        DatasetError: the names are missing or damaged.
    """
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(_source(store, NAMES_PATH))
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number).column(0).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DatasetError(f"{place(store)}/{NAMES_PATH}: names cannot be read ({error})") from error


def _manifest(reader: pa.RecordBatchFileReader, metadata: dict[str, str]) -> Manifest:
    count = int(metadata["ioprof.objects"])
    fixed = int(metadata["ioprof.fixed_size_bytes"]) or None
    if fixed is not None:
        sizes: Sizes = np.broadcast_to(np.int64(fixed), count)
    else:
        parts = [reader.get_batch(number).column(0).to_numpy() for number in range(reader.num_record_batches)]
        sizes = parts[0] if len(parts) == 1 else np.concatenate(parts)
    if len(sizes) != count:
        raise ValueError(f"{len(sizes)} sizes of {count} objects")
    return Manifest(
        count=count,
        total_bytes=int(metadata["ioprof.total_bytes"]),
        identity=metadata["ioprof.identity"],
        version=metadata["ioprof.version"],
        fixed_size_bytes=fixed,
        sizes=sizes,
    )


def _metadata(layout: Layout, total_bytes: int, fixed: int | None) -> dict[str, str]:
    identity = layout.identity()
    return {
        "ioprof.format": MANIFEST_FORMAT,
        "ioprof.version": __version__,
        "ioprof.identity": identity_json(identity),
        "ioprof.seed": str(identity.get("seed", "")),
        "ioprof.objects": str(layout.count),
        "ioprof.total_bytes": str(total_bytes),
        "ioprof.fixed_size_bytes": str(fixed or 0),
    }


def _batches(layout: Layout, batch_objects: int) -> Iterator[Sizes]:
    """Fill one buffer per batch block by block: a batch is the most that is held at any time."""
    for start in range(0, layout.count, batch_objects):
        stop = min(start + batch_objects, layout.count)
        batch = np.empty(stop - start, dtype=np.int64)
        for first in range(start, stop, 65_536):
            last = min(first + 65_536, stop)
            batch[first - start : last - start] = layout.sizes(first, last)
        yield batch


def _write_names(store: Store, layout: Layout) -> None:
    import pyarrow as pa

    schema = pa.schema([pa.field("path", pa.string(), nullable=False)])
    with _sink(store, NAMES_PATH) as sink, pa.ipc.new_file(sink, schema) as writer:
        for start in range(0, layout.count, _NAMES_BATCH):
            paths = [layout.path(index) for index in range(start, min(start + _NAMES_BATCH, layout.count))]
            writer.write_batch(pa.record_batch([pa.array(paths, pa.string())], schema=schema))


@contextmanager
def _sink(store: Store, path: str) -> Iterator[pa.NativeFile | io.BytesIO]:
    """A file to write to that takes its name only when it is whole; in memory where the store is remote."""
    import pyarrow as pa

    if store.local_root is not None:
        with pa.OSFile(f"{store.local_root}/{path}.new", "wb") as file:
            yield file
        store.rename(f"{path}.new", path)
        return
    buffer = io.BytesIO()
    yield buffer
    store.write(path, buffer.getbuffer())


def _source(store: Store, path: str) -> pa.NativeFile:
    import pyarrow as pa

    if store.local_root is not None:
        return pa.memory_map(f"{store.local_root}/{path}", "r")
    return pa.BufferReader(store.read(path))
