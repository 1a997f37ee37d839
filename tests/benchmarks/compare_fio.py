"""The probe against fio: the same files, the same order, the same number of processes, taking turns, cold.

    python tests/benchmarks/compare_fio.py --store DIR --repeats 10 --json results.json

Two patterns: files of 4 KiB, each opened, read whole and closed, in a random order; and shards read front to back,
1 MiB at a time. Before each turn all is evicted from the page cache. fio (apt-get install fio) reads through hard links
of the very files, numbered in the probe's order: psync, buffered, without the advice it would give the kernel itself.
The goal is a ratio within 5 % of 1. Only this script ever starts fio.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from ioprof.contract import Layout, MapWorkload, StreamWorkload
from ioprof.dataset.object_sizes import object_sizes
from ioprof.dataset.prepare import Prepared, prepare
from ioprof.plugins import find_workload
from ioprof.probe.level import Reading, measure_level
from ioprof.probe.probe import usable_cores
from ioprof.store.local import LocalStore
from ioprof.store.page_cache import evict

PROCESSES = (1, 2, 4)
LONGEST_NS = 30_000_000_000
SEED = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One pattern, ready to be read by either."""

    name: str
    unit: str
    """Of which each sample is one."""
    layout: Layout
    prepared: Prepared
    reading: Callable[[], Reading]
    jobs: Callable[[int], list[list[int]]]
    """Objects of each of so many fio jobs, in order."""
    block: str
    hint: str
    """What the pattern tells the kernel of its access, as fio names it: both tools tell the same."""


def main() -> None:
    """Prepare, take turns, print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", default=None, help="folder on the disk to be measured (default: a temporary one)")
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--shards", type=int, default=16, help="shards of 64 MiB")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--json", type=Path, default=None)
    options = parser.parse_args()
    _fio()
    with tempfile.TemporaryDirectory(prefix="ioprof-fio-", dir=options.store) as scratch:
        rows = []
        for side in (small_files(scratch, options.files), shards(scratch, options.shards)):
            for processes in PROCESSES:
                rows.append(compared(side, processes, Path(scratch), options.repeats))
                print(told(rows[-1]), flush=True)
        if options.json is not None:
            facts = {"cpus": os.cpu_count(), "kernel": platform.release(), "fio": fio_version()}
            options.json.write_text(
                json.dumps({"host": facts, "repeats": options.repeats, "rows": [asdict(row) for row in rows]}, indent=2)
                + "\n"
            )


def small_files(scratch: str, files: int) -> Side:
    """Return files of 4 KiB in a random order."""
    workload = find_workload("small-files")
    made = workload(workload.Params.model_validate({"files": files, "file_size": "4KiB"}), SEED)
    prepared = prepare(LocalStore(f"{scratch}/store"), "small-files", made.layout())
    order = cast(MapWorkload, made).order(0)
    return Side(
        name="4 KiB files, random, open + read + close",
        unit="files/s",
        layout=made.layout(),
        prepared=prepared,
        reading=lambda: Reading(
            source=cast(MapWorkload, made).reader(object_sizes(prepared.store, prepared.manifest)),
            store=prepared.store, order=order, epoch=0, repeats=False, is_cached_locally=True,
        ),
        jobs=lambda count: [order[job::count].tolist() for job in range(count)],
        block="4k",
        hint="0",
    )  # fmt: skip


def shards(scratch: str, count: int) -> Side:
    """Return shards of 64 samples of 1 MiB, front to back."""
    workload = find_workload("streaming-shards")
    values = {
        "format": "raw", "shards": count, "samples_per_shard": 64, "sample_size": "1MiB", "shuffle_shards": False,
        "shuffle_buffer": 0, "read_size": "1MiB",
    }  # fmt: skip
    made = workload(workload.Params.model_validate(values), SEED)
    prepared = prepare(LocalStore(f"{scratch}/store"), "streaming-shards", made.layout())
    return Side(
        name="64 MiB shards, sequential, 1 MiB reads",
        unit="MiB/s",
        layout=made.layout(),
        prepared=prepared,
        reading=lambda: Reading(
            source=cast(StreamWorkload, made).stream(object_sizes(prepared.store, prepared.manifest)),
            store=prepared.store, order=None, epoch=0, repeats=False, is_cached_locally=True,
        ),
        jobs=lambda jobs: [list(range(job, count, jobs)) for job in range(jobs)],
        block="1m",
        hint="sequential",
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Both rates of every turn, and their ratios."""

    pattern: str
    processes: int
    unit: str
    ioprof: list[float]
    fio: list[float]
    ioprof_median: float
    fio_median: float
    ratio_median: float
    """Of the ratios turn by turn."""
    ratio_quartiles: tuple[float, float]


def compared(side: Side, processes: int, scratch: Path, repeats: int) -> Row:
    """Let both read in turns; which of them comes first alternates."""
    links = linked(side, processes, scratch / "links")
    ours, theirs = list[float](), list[float]()
    for turn in range(repeats + 1):
        pair = [("ioprof", lambda: probe_rate(side, processes)), ("fio", lambda: fio_rate(side, links))]
        for name, measure in pair if turn % 2 else reversed(pair):
            evicted(side)
            rate = measure()
            if turn:  # the first turn is for both to warm up: names and inodes are cached from then on
                (ours if name == "ioprof" else theirs).append(rate)
    shutil.rmtree(scratch / "links")
    ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
    low, _, high = statistics.quantiles(ratios, n=4)
    return Row(
        pattern=side.name,
        processes=processes,
        unit=side.unit,
        ioprof=ours,
        fio=theirs,
        ioprof_median=statistics.median(ours),
        fio_median=statistics.median(theirs),
        ratio_median=statistics.median(ratios),
        ratio_quartiles=(low, high),
    )


def told(row: Row) -> str:
    """Return a row of results as a line."""
    return (
        f"{row.pattern}, {row.processes} processes: "
        f"ioprof {row.ioprof_median:,.0f}, fio {row.fio_median:,.0f} {row.unit}; "
        f"ratio {row.ratio_median:.3f} (quartiles {row.ratio_quartiles[0]:.3f} - {row.ratio_quartiles[1]:.3f}, "
        f"n={len(row.fio)}), fastest {max(row.ioprof) / max(row.fio):.3f}"
    )


def linked(side: Side, jobs: int, folder: Path) -> list[Path]:
    """Make one folder of hard links for each job, numbered in the order in which it reads them."""
    root, layout = Path(side.prepared.store.local_root or ""), side.layout
    folders = []
    for job, objects in enumerate(side.jobs(jobs)):
        folders.append(folder / str(job))
        folders[-1].mkdir(parents=True)
        for number, obj in enumerate(objects):
            os.link(root / layout.path(obj), folders[-1] / f"f.{number}")
    return folders


def evicted(side: Side) -> None:
    """Drop the pattern's files from the page cache."""
    layout = side.layout
    evict(side.prepared.store.local_root or "", layout.path, layout.count, lambda _: None)


def probe_rate(side: Side, processes: int) -> float:
    """Return what a level of the probe reads, in the pattern's unit."""
    level, _ = measure_level(
        side.reading(), processes, longest_ns=LONGEST_NS, cores=usable_cores(), tick=lambda: None, precision_ratio=0.0
    )
    if level is None:
        sys.exit(f"{side.name}: too few samples for a level: use --files or --shards")
    return level.samples_per_s


def fio_rate(side: Side, folders: Sequence[Path]) -> float:
    """Return what fio reads, in the pattern's unit."""
    lines = [
        "[global]", "ioengine=psync", "direct=0", "invalidate=0", f"fadvise_hint={side.hint}", "allow_file_create=0",
        "openfiles=1", "file_service_type=sequential", "rw=read", f"bs={side.block}", "filename_format=f.$filenum",
        "group_reporting=1",
    ]  # fmt: skip
    for folder in folders:
        count = sum(1 for _ in folder.iterdir())
        size = sum(entry.stat().st_size for entry in folder.iterdir())
        lines += [
            f"[job{folder.name}]",
            f"directory={folder}",
            f"nrfiles={count}",
            f"filesize={size // count}",
            f"size={size}",
        ]
    job = folders[0].parent / "job.fio"
    job.write_text("\n".join(lines) + "\n")
    done = subprocess.run([_fio(), "--output-format=json", str(job)], capture_output=True, text=True, check=True)
    read = json.loads(done.stdout[done.stdout.index("{") :])["jobs"][0]["read"]
    seconds = read["runtime"] / 1e3
    return float(read["total_ios"]) / seconds


def _fio() -> str:
    return shutil.which("fio") or sys.exit("fio is not installed: apt-get install fio")


def fio_version() -> str:
    """Return which fio this is."""
    return subprocess.run([_fio(), "--version"], capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    main()
