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


QUICK = ListedSuite(
    summary="every kind of load once, small datasets: about five minutes",
    entries=(
        ListedEntry(workload="small-files", settings=("run.duration=10s", "workload.files=5k")),
        ListedEntry(workload="streaming-shards", settings=("run.duration=10s", "workload.shards=6")),
        ListedEntry(workload="metadata-storm", settings=("run.duration=10s", "workload.files=10k")),
        ListedEntry(workload="record-reads", settings=("run.duration=10s", "workload.files=4")),
        ListedEntry(workload="token-stream", settings=("run.duration=10s", "workload.files=4")),
        ListedEntry(workload="checkpoint", settings=("run.duration=15s",)),
        ListedEntry(workload="etl", settings=("run.duration=10s", "workload.files=4k")),
        ListedEntry(
            workload="mixed",
            settings=(
                "run.duration=6s",
                "pipeline.train.workload.files=5k",
                "pipeline.storm.workload.files=10k",
            ),
        ),
        ListedEntry(workload="mlperf-unet3d", settings=("run.duration=20s", "workload.files=14")),
    ),
)
FULL = ListedSuite(
    summary="every kind of load with its default dataset, a minute each after preparation; 16 GiB of disk",
    entries=tuple(
        ListedEntry(
            workload=entry.workload, settings=("run.duration=20s" if entry.workload == "mixed" else "run.duration=60s",)
        )
        for entry in QUICK.entries
    ),
)
SUITES = {"quick": QUICK, "full": FULL}
