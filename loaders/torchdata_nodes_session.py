"""An epoch as nodes of torchdata: an iterable of requests, a mapper of threads, and a prefetcher for more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ioprof.loaders.thread_session import Made, ThreadSession
from torchdata.nodes import BaseNode, IterableWrapper, Loader, ParallelMapper, Prefetcher

if TYPE_CHECKING:
    from ioprof.loaders.thread_params import ThreadParams
    from ioprof.loaders.torch_map_session import Request

    from ioprof.contract import LoadJob

_OF_MAPPER = 2
"""Batches per thread that a mapper has under way or ready, unless it is told that one is enough."""


class NodesEpoch:
    """Nodes that deliver one epoch."""

    def __init__(self, requests: Iterable[Request], make: Callable[[Request], Made], params: ThreadParams) -> None:
        threads = params.workers
        node: BaseNode[Made] = ParallelMapper(
            IterableWrapper(requests),
            map_fn=make,
            num_workers=threads,
            in_order=params.in_order,
            method="thread",
            max_concurrent=threads if params.prefetch < _OF_MAPPER else None,
        )
        self._nodes = [node]
        if params.prefetch > _OF_MAPPER:
            node = Prefetcher(node, threads * (params.prefetch - _OF_MAPPER))
            self._nodes.insert(0, node)
        self._loader: Loader[Made] = Loader(node)

    def __iter__(self) -> Iterator[Made]:
        return iter(self._loader)

    def close(self) -> None:
        """End the nodes' threads; safe to call twice."""
        for node in self._nodes:
            _end_threads(node)


def _end_threads(node: object) -> None:
    """End the threads of a node, which does so itself only when it is collected, and is part of a circle."""
    while (node := getattr(node, "_it", None)) is not None:
        getattr(node, "_shutdown", _nothing)()


def _nothing() -> None:
    """There is no thread here."""


def nodes_session(job: LoadJob, params: ThreadParams) -> ThreadSession:
    """Return an open loader over torchdata's nodes."""
    return ThreadSession(job, params.workers, lambda requests, make: NodesEpoch(requests, make, params))
