"""`parquet` and `arrow-ipc`: pyarrow's own reading of the two formats. The machinery is in `arrow_stream`."""

from __future__ import annotations

import warnings
from typing import ClassVar

from ioprof.loaders.own_workers import OwnLoader, OwnParams, own_capabilities, stored_in, with_source
from pydantic import Field

from ioprof.contract import Access, Capabilities, LoadJob, PluginParams


class ArrowParams(OwnParams):
    """As of all our own loaders, and how pyarrow reads."""

    use_threads: bool = Field(False, description="let pyarrow decode columns in threads of its own")
    memory_map: bool = Field(False, description="map local files, and copy out of the mapping, in place of reading")


class ParquetParams(ArrowParams):
    """As of `arrow-ipc`, and what only Parquet has."""

    pre_buffer: bool = Field(True, description="fetch the column chunks of a row group together, ahead of need")


class _ArrowLoader(OwnLoader):
    """What the two have in common."""

    name: ClassVar[str]
    accepts: ClassVar[frozenset[Access]] = frozenset({"stream"})
    imports: ClassVar[tuple[str, ...]] = ("ioprof.loaders.arrow_stream", "pyarrow.parquet", "pyarrow.ipc")

    def __init__(self, params: ArrowParams) -> None:
        super().__init__(params)
        self._arrow = params

    def prepared(self, job: LoadJob) -> LoadJob:
        """Return the job, read by pyarrow."""
        from ioprof.loaders.arrow_stream import ArrowOptions, ArrowStream, natively_told

        warnings.warn(natively_told(self.name), stacklevel=2)
        options = ArrowOptions(
            use_threads=self._arrow.use_threads,
            memory_map=self._arrow.memory_map,
            pre_buffer=getattr(self._arrow, "pre_buffer", False),
        )
        return with_source(job, ArrowStream(stored_in(job, self.name), options))


class Parquet(_ArrowLoader):
    """Parquet read by pyarrow."""

    name: ClassVar[str] = "parquet"
    summary: ClassVar[str] = "Parquet read by pyarrow itself, row group by row group"
    capabilities: ClassVar[Capabilities] = own_capabilities("native", frozenset({"parquet"}))
    Params: ClassVar[type[PluginParams]] = ParquetParams


class ArrowIpc(_ArrowLoader):
    """Arrow files read by pyarrow."""

    name: ClassVar[str] = "arrow-ipc"
    summary: ClassVar[str] = "Arrow IPC files read by pyarrow itself, record batch by record batch"
    capabilities: ClassVar[Capabilities] = own_capabilities("native", frozenset({"arrow"}))
    Params: ClassVar[type[PluginParams]] = ArrowParams
