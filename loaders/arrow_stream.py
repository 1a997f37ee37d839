"""Parquet and Arrow files read by pyarrow itself: its own I/O, its own decoding, and, if asked for, its own threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from ioprof.loaders.stored_parts import Stretch, stretches_of

from ioprof.contract import Part, SampleBytes, StoredSamples
from ioprof.errors import CaveatWarning
from ioprof.formats.arrow_rows import Rows, fixed_rows, row_views
from ioprof.formats.errors import ShardError
from ioprof.store.base import Store
from ioprof.store.tap import Tap
from ioprof.trace.kinds import BAD_FORMAT, error_code

if TYPE_CHECKING:
    import pyarrow as pa

_ARROW_COLUMN = "sample"


def natively_told(loader: str) -> CaveatWarning:
    """Return what a reader of the run must know."""
    return CaveatWarning(
        f"{loader} reads and decodes inside its library, where no operation is seen: that time is shown as the "
        "loader's own, and there are no latencies of operations."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrowOptions:
    """How pyarrow is to read."""

    use_threads: bool
    """Decode columns in its own threads."""
    pre_buffer: bool
    """parquet: fetch the column chunks of a row group together, before they are needed."""
    memory_map: bool
    """Map local files; what is mapped is copied once, which is when its pages are read."""


class ArrowStream:
    """The rows of Parquet or Arrow shards, in the order in which they stand; picklable."""

    reads_natively: ClassVar[bool] = True

    def __init__(self, stored: StoredSamples, options: ArrowOptions) -> None:
        self._stored = stored
        self._options = options

    def samples(self, tap: Tap, epoch: int, part: Part) -> Iterator[SampleBytes]:
        """Yield one epoch's samples of ``part``; see `ioprof.contract.SampleStream`."""
        decode = self._stored.decode
        for stretch in stretches_of(self._stored, epoch, part, self._row_group):
            samples: Iterator[SampleBytes] = self._rows(tap, stretch)
            if decode is None:
                yield from samples
            else:
                for sample in samples:
                    yield tap.decode(decode, sample, stretch.obj)

    @property
    def _row_group(self) -> int:
        return int(self._stored.details["row_group"])

    def _rows(self, tap: Tap, stretch: Stretch) -> Iterator[memoryview]:
        """Yield the rows of one stretch; those that a failure costs are counted, and the stream goes on."""
        import pyarrow as pa

        left = stretch.stop - stretch.first
        groups = range(stretch.first // self._row_group, -(-stretch.stop // self._row_group))
        try:
            found = self._parquet if self._stored.format == "parquet" else self._arrow
            for rows in found(tap.store, stretch.obj, groups):
                left -= len(rows)
                yield from row_views(rows)
            if left > 0:
                raise ShardError(BAD_FORMAT, f"{left} rows are missing")
        except ShardError as error:
            tap.reject(error.code, stretch.obj, max(0, left))
        except OSError as error:
            tap.reject(error_code(error), stretch.obj, max(0, left))
        except pa.ArrowException:
            tap.reject(BAD_FORMAT, stretch.obj, max(0, left))

    def _parquet(self, store: Store, obj: int, groups: range) -> Iterator[Rows]:
        import pyarrow.parquet as pq

        names = [f"c{number}" for number in range(int(self._stored.details["columns"]))]
        options = self._options
        with _source(store, self._stored, obj, memory_map=options.memory_map) as source:
            file = pq.ParquetFile(source, pre_buffer=options.pre_buffer)
            found = file.iter_batches(
                batch_size=self._row_group, row_groups=list(groups), columns=names, use_threads=options.use_threads
            )
            for batch in found:
                columns = [fixed_rows(batch.column(name)) for name in names]
                yield columns[0] if len(columns) == 1 else np.concatenate(columns, axis=1)

    def _arrow(self, store: Store, obj: int, groups: range) -> Iterator[Rows]:
        import pyarrow as pa

        options = self._options
        with _source(store, self._stored, obj, memory_map=options.memory_map) as source:
            file = pa.ipc.open_file(source, options=pa.ipc.IpcReadOptions(use_threads=options.use_threads))
            for number in groups:
                rows = fixed_rows(file.get_batch(number).column(_ARROW_COLUMN))
                # Out of a mapping nothing has been read yet, and its pages could not be evicted while a view is held.
                yield rows.copy() if options.memory_map else rows


def _source(store: Store, stored: StoredSamples, obj: int, *, memory_map: bool) -> pa.NativeFile:
    """Open an object: by pyarrow itself on local paths, through fsspec's client, made here and now, elsewhere."""
    import pyarrow as pa

    path = stored.full_path(store, obj)
    if store.local_root is not None:
        return pa.memory_map(path) if memory_map else pa.OSFile(path)
    import fsspec

    client, inner = fsspec.core.url_to_fs(path, use_listings_cache=False)
    return pa.PythonFile(client.open(inner, mode="rb", cache_type="readahead"), mode="r")
