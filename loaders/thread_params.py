"""What loaders that make batches in threads have in common before their library is imported: knobs and checks."""

from __future__ import annotations

import importlib
from typing import ClassVar

from ioprof.loaders.worker_process import warn_of_crowded_workers
from pydantic import Field

from ioprof.contract import Access, Capabilities, PluginParams
from ioprof.spec.quantities import Count


class ThreadParams(PluginParams):
    """How many threads, how far ahead, and in which order."""

    workers: Count = Field(2, ge=1, le=1024, description="threads that make batches, in the consumer's process")
    prefetch: Count = Field(2, ge=1, le=10_000, description="batches under way or ready, per thread")
    in_order: bool = Field(True, description="deliver batches in the order they were asked for")


class ThreadLoader:
    """What these plug-ins share; each adds its name, its library, and opens its own session."""

    reads_storage: ClassVar[bool] = True
    accepts: ClassVar[frozenset[Access]] = frozenset({"map"})
    capabilities: ClassVar[Capabilities] = Capabilities(reads_with="python", workers=("thread",), ordered="by choice")
    Params: ClassVar[type[PluginParams]] = ThreadParams
    session_module: ClassVar[str]
    """Where the session is; importing it imports the library."""

    def __init__(self, params: ThreadParams) -> None:
        self._params = params

    def load(self) -> None:
        """Import the library."""
        importlib.import_module(self.session_module)

    def _warn_of_crowd(self, threads: int) -> None:
        warn_of_crowded_workers(
            threads, "threads that wait for storage do no harm, those that compute wait for each other"
        )
