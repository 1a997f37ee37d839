"""An epoch as a pipeline of SPDL: requests, one stage of threads, a sink that holds what is ready."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from ioprof.loaders.thread_session import Made, ThreadSession
from spdl.pipeline import PipelineBuilder

if TYPE_CHECKING:
    from ioprof.loaders.thread_params import ThreadParams
    from ioprof.loaders.torch_map_session import Request

    from ioprof.contract import LoadJob


class SpdlEpoch:
    """A running pipeline."""

    def __init__(self, requests: Iterable[Request], make: Callable[[Request], Made], params: ThreadParams) -> None:
        threads = params.workers
        builder = PipelineBuilder().add_source(requests)
        builder.pipe(make, concurrency=threads, output_order="input" if params.in_order else "completion")
        # What threads are at work on counts as well: as many batches are ahead as with torch's workers.
        builder.add_sink(max(1, threads * (params.prefetch - 1)))
        self._pipeline = builder.build(num_threads=threads)
        self._pipeline.start()

    def __iter__(self) -> Iterator[Made]:
        return iter(self._pipeline.get_iterator())

    def close(self) -> None:
        """Stop the pipeline's threads; safe to call twice."""
        self._pipeline.stop()


def spdl_session(job: LoadJob, params: ThreadParams) -> ThreadSession:
    """Return an open loader over SPDL's pipelines."""
    return ThreadSession(job, params.workers, lambda requests, make: SpdlEpoch(requests, make, params))
