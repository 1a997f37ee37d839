"""An epoch as a pipeline of SPDL: requests, one stage of threads, a sink that holds what is ready."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from ioprof.loaders.thread_session import Made, ThreadSession
from spdl.pipeline import PipelineBuilder, StageInfo, TaskHook, TaskStatsHook

if TYPE_CHECKING:
    from ioprof.loaders.thread_params import ThreadParams
    from ioprof.loaders.torch_map_session import Request

    from ioprof.contract import LoadJob


class StageCounts:
    """What SPDL counts of each stage of its pipelines, by the hooks that it gives them anyway."""

    def __init__(self) -> None:
        self._hooks: list[TaskStatsHook] = []

    def hooks(self, stage: StageInfo) -> list[TaskHook]:
        """Return the hooks of a stage that is being built."""
        self._hooks.append(TaskStatsHook(stage))
        return [self._hooks[-1]]

    def totals(self) -> Mapping[str, float]:
        """Return tasks, failed tasks and the seconds of those that did not fail, of each stage over all epochs."""
        found = Counter[str]()
        for hook in self._hooks:
            stage = f"spdl.{hook.info.stage_name}"
            found[f"{stage}.tasks"] += hook.num_tasks
            found[f"{stage}.failed_tasks"] += hook.num_tasks - hook.num_success
            found[f"{stage}.task_s"] += hook.ave_time * hook.num_success
        return found


class SpdlSession(ThreadSession):
    """An open loader over SPDL's pipelines, and what they count."""

    def __init__(self, job: LoadJob, params: ThreadParams) -> None:
        self._counts = StageCounts()
        super().__init__(job, params.workers, lambda requests, make: SpdlEpoch(requests, make, params, self._counts))

    def engine_counters(self) -> Mapping[str, float]:
        """Return SPDL's counts of its stages."""
        return self._counts.totals()


class SpdlEpoch:
    """A running pipeline."""

    def __init__(
        self,
        requests: Iterable[Request],
        make: Callable[[Request], Made],
        params: ThreadParams,
        counts: StageCounts,
    ) -> None:
        threads = params.workers
        builder = PipelineBuilder().add_source(requests)
        builder.pipe(make, concurrency=threads, output_order="input" if params.in_order else "completion")
        # What threads are at work on counts as well: as many batches are ahead as with torch's workers.
        builder.add_sink(max(1, threads * (params.prefetch - 1)))
        self._pipeline = builder.build(num_threads=threads, task_hook_factory=counts.hooks)
        self._pipeline.start()

    def __iter__(self) -> Iterator[Made]:
        return iter(self._pipeline.get_iterator())

    def close(self) -> None:
        """Stop the pipeline's threads; safe to call twice."""
        self._pipeline.stop()


def spdl_session(job: LoadJob, params: ThreadParams) -> SpdlSession:
    """Return an open loader over SPDL's pipelines."""
    return SpdlSession(job, params)
