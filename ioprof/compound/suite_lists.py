"""The suites that come with ioprof."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEntry:
    """One run of a built-in suite."""

    workload: str
    settings: tuple[str, ...] = ()
    """As ``--set`` takes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedSuite:
    """A built-in suite."""

    summary: str
    entries: tuple[ListedEntry, ...]


_SHORT = ("run.duration=10s",)
QUICK = ListedSuite(
    summary="every kind of load once, small datasets: about five minutes",
    entries=(
        ListedEntry(workload="small-files", settings=(*_SHORT, "workload.files=4k")),
        ListedEntry(workload="streaming-shards", settings=_SHORT),
        ListedEntry(workload="metadata-storm", settings=_SHORT),
        ListedEntry(workload="record-reads", settings=_SHORT),
        ListedEntry(workload="token-stream", settings=_SHORT),
        ListedEntry(workload="checkpoint"),
        ListedEntry(workload="etl", settings=_SHORT),
        ListedEntry(workload="mixed", settings=("run.duration=5s", "pipeline.train.workload.files=4k")),
        ListedEntry(workload="mlperf-unet3d", settings=_SHORT),
    ),
)
FULL = ListedSuite(
    summary="every kind of load with its default dataset, a minute each after preparation",
    entries=tuple(
        ListedEntry(workload=entry.workload, settings=() if entry.workload == "checkpoint" else ("run.duration=60s",))
        for entry in QUICK.entries
    ),
)
SUITES = {"quick": QUICK, "full": FULL}
