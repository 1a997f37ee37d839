"""`spdl`: Meta's SPDL, a pipeline of threads in the consumer's process. The machinery is in `spdl_session`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.thread_params import ThreadLoader

from ioprof.contract import LoadJob

if TYPE_CHECKING:
    from ioprof.loaders.thread_session import ThreadSession


class Spdl(ThreadLoader):
    """SPDL's pipeline: a source of requests, one stage that makes batches in threads, and a sink."""

    name: ClassVar[str] = "spdl"
    summary: ClassVar[str] = "SPDL: batches made by a pipeline of threads in the consumer's process"
    requires: ClassVar[tuple[str, ...]] = ("spdl.pipeline",)
    extra: ClassVar[str | None] = "spdl"
    session_module: ClassVar[str] = "ioprof.loaders.spdl_session"

    def open(self, job: LoadJob) -> ThreadSession:
        """Return the session; a pipeline is built for each epoch."""
        from ioprof.loaders.spdl_session import spdl_session

        self._warn_of_crowd(self._params.workers)
        return spdl_session(job, self._params)
