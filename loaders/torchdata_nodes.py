"""`torchdata-nodes`: torchdata's nodes, here a mapper of threads. The machinery is in `torchdata_nodes_session`."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.thread_params import ThreadLoader

from ioprof.contract import LoadJob

if TYPE_CHECKING:
    from ioprof.loaders.thread_session import ThreadSession


class TorchdataNodes(ThreadLoader):
    """torchdata.nodes: requests, a parallel mapper whose threads make batches, and a loader over both."""

    name: ClassVar[str] = "torchdata-nodes"
    summary: ClassVar[str] = "torchdata.nodes: batches made by a ParallelMapper's threads"
    requires: ClassVar[tuple[str, ...]] = ("torchdata.nodes",)
    extra: ClassVar[str | None] = "torchdata"
    session_module: ClassVar[str] = "ioprof.loaders.torchdata_nodes_session"

    def open(self, job: LoadJob) -> ThreadSession:
        """Return the session; the nodes are made anew for each epoch."""
        from ioprof.loaders.torchdata_nodes_session import nodes_session

        self._warn_of_crowd(self._params.workers)
        return nodes_session(job, self._params)
