"""What plug-ins implement and what they are handed: workloads, loaders, and the batches between them.

A workload says what is stored and in which order it is wanted. A loader says how samples are scheduled,
parallelised and delivered. Neither knows the other; the engine knows neither by name. Everything that a loader
may send to worker processes is a picklable object of a module-level class (fork, spawn and forkserver).
"""

from ioprof.contract.loader import Batch, DeadWorker, Loader, LoaderSession, LoadJob, WorkerJob
from ioprof.contract.workload import (
    PUBLISHED,
    Access,
    ChecksStore,
    EpochEnder,
    EpochReader,
    EpochStart,
    Indices,
    Layout,
    MapWorkload,
    MlperfRules,
    MlperfWorkload,
    ObjectSizes,
    Part,
    PluginParams,
    ProbedWorkload,
    SampleReader,
    SampleStream,
    ScratchNeed,
    Setting,
    StreamWorkload,
    Workload,
    WritingWorkload,
)

__all__ = [
    "PUBLISHED",
    "Access",
    "Batch",
    "ChecksStore",
    "DeadWorker",
    "EpochEnder",
    "EpochReader",
    "EpochStart",
    "Indices",
    "Layout",
    "LoadJob",
    "Loader",
    "LoaderSession",
    "MapWorkload",
    "MlperfRules",
    "MlperfWorkload",
    "ObjectSizes",
    "Part",
    "PluginParams",
    "ProbedWorkload",
    "SampleReader",
    "SampleStream",
    "ScratchNeed",
    "Setting",
    "StreamWorkload",
    "WorkerJob",
    "Workload",
    "WritingWorkload",
]
