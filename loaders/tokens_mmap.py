"""`tokens-mmap`: windows of tokens copied out of plain mappings of its own. The machinery is in `token_maps`."""

from __future__ import annotations

import warnings
from typing import ClassVar

from ioprof.loaders.own_workers import OwnLoader, OwnParams, own_capabilities, stored_in, with_source

from ioprof.contract import Access, Capabilities, LoadJob, PluginParams
from ioprof.errors import CaveatWarning, SpecError

_TOLD = CaveatWarning(
    "tokens-mmap copies out of mappings of its own, where no operation is seen: that time is shown as the loader's "
    "own, and latencies of operations are not available (mapped reads); page faults and bytes from the device are."
)


class TokensMmap(OwnLoader):
    """Token files and their indexes, mapped as Megatron's indexed datasets are, with no tap in the way."""

    name: ClassVar[str] = "tokens-mmap"
    summary: ClassVar[str] = "windows of tokens out of mapped .bin files and their .idx, with no tap in the way"
    accepts: ClassVar[frozenset[Access]] = frozenset({"map"})
    capabilities: ClassVar[Capabilities] = own_capabilities("mmap", frozenset({"tokens"}))
    Params: ClassVar[type[PluginParams]] = OwnParams
    imports: ClassVar[tuple[str, ...]] = ("ioprof.loaders.token_maps",)

    def prepared(self, job: LoadJob) -> LoadJob:
        """Return the job, read out of mappings.

        Raises:
            SpecError: the workload wants pread, or the store is not a local path.
        """
        from ioprof.loaders.token_maps import TokenMaps

        stored = stored_in(job, self.name)
        if stored.details["access"] != "mmap":
            raise SpecError("workload.access = 'pread': tokens-mmap only maps; use --access mmap, or --loader raw")
        if job.worker.store.local_root is None:
            raise SpecError(f"loader.name = {self.name!r}: {job.worker.store.url} is no local path; use --loader raw")
        warnings.warn(_TOLD, stacklevel=2)
        return with_source(job, TokenMaps(stored))
