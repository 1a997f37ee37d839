"""Preparation against bare Python writers on the same disk.

``python tests/benchmarks/bench_prepare.py --files 1M``. Both sides run the same number of processes,
make the same directories and write files of the same size with os.open, os.write and os.close, without fsync;
the bare side writes one constant buffer. Sides take turns, each starts with nothing left to flush, and all
that preparation does apart from its final sync is in its time: checks, manifest, process start, records.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.prepare import prepare
from ioprof.dataset.sizes import Fixed
from ioprof.store.local import LocalStore
from ioprof.units import format_rate_bytes, parse_bytes, parse_count

_BARE = """
import os, sys
root, start, stop, size, per_dir = sys.argv[1], *map(int, sys.argv[2:])
content = os.urandom(size)
for i in range(start, stop):
    fd = os.open(f"{root}/{i // per_dir}/{i}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    os.write(fd, content)
    os.close(fd)
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one side took."""

    seconds: float
    """Wall time, the final sync left out."""
    cpu_seconds: float
    """User and system time of its writing processes: steadier than wall time where the machine is shared."""


def bare(root: str, layout: OpaqueLayout, size_bytes: int, workers: int) -> None:
    """Write with plain processes."""
    os.makedirs(root)
    for directory in layout.directories():
        os.mkdir(f"{root}/{directory}")
    edges = [layout.count * part // workers for part in range(workers + 1)]
    command = [sys.executable, "-c", _BARE, root]
    writers = [
        subprocess.Popen([*command, str(start), str(stop), str(size_bytes), str(layout.files_per_dir)])
        for start, stop in itertools.pairwise(edges)
    ]
    codes = [writer.wait() for writer in writers]
    if any(codes):
        raise RuntimeError(f"a bare writer failed: exit codes {codes}")


def measured(side: str, root: str, layout: OpaqueLayout, size_bytes: int, workers: int) -> Cost:
    """Run one side with nothing left to flush from the one before."""
    os.sync()
    begin, begin_cpu = time.perf_counter(), cpu_seconds()
    sync_seconds = 0.0
    if side == "bare":
        bare(root, layout, size_bytes, workers)
    else:
        sync_seconds = prepare(LocalStore(root), "bench", layout, workers=workers).sync_seconds
    return Cost(time.perf_counter() - begin - sync_seconds, cpu_seconds() - begin_cpu)


def cpu_seconds() -> float:
    """User and system time of this process's ended children."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def summary(costs: dict[str, list[Cost]], files: int) -> str:
    """Return both rates and their ratio, by wall time and by CPU time."""
    rate = {side: files / statistics.median(cost.seconds for cost in costs[side]) for side in costs}
    cpu_us = {side: statistics.median(cost.cpu_seconds for cost in costs[side]) / files * 1e6 for side in costs}
    ratios = [b.seconds / p.seconds for b, p in zip(costs["bare"], costs["prepare"], strict=True)]
    return (
        f"prepare reaches {statistics.median(ratios):.1%} of bare writers (median of {len(ratios)} pairs, "
        f"{min(ratios):.1%} - {max(ratios):.1%}): median {rate['prepare']:,.0f} against {rate['bare']:,.0f} files/s; "
        f"CPU per file {cpu_us['prepare']:.1f} against {cpu_us['bare']:.1f} µs"
    )


def options() -> argparse.Namespace:
    """Return what was asked on the command line."""
    parser = argparse.ArgumentParser(description="Preparation against bare Python writers on the same disk.")
    parser.add_argument("--files", type=parse_count, default=200_000)
    parser.add_argument("--size", type=parse_bytes, default=4096)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--files-per-dir", type=int, default=1000)
    parser.add_argument("--dir", default=None, help="directory on the disk to measure (default: the temporary one)")
    parser.add_argument("--keep", action="store_true", help="leave the files: --dir is a scratch filesystem")
    return parser.parse_args()


def main() -> None:
    """Run both sides in turn and print their rates and the ratio."""
    asked = options()
    layout = OpaqueLayout(count=asked.files, sizes=Fixed(asked.size), files_per_dir=asked.files_per_dir, seed=1)
    if layout.naming.two_levels:
        sys.exit("more than --files-per-dir directories: the bare side knows one level only")
    costs: dict[str, list[Cost]] = {"bare": [], "prepare": []}
    place = tempfile.mkdtemp(prefix="ioprof-bench-", dir=asked.dir)
    try:
        # The first run on a rested disk is up to twice as fast as those after it, whichever side it is.
        measured("bare", f"{place}/discarded", layout, asked.size, asked.workers)
        if not asked.keep:
            shutil.rmtree(f"{place}/discarded")
        for repeat in range(asked.repeats):
            for side in ("bare", "prepare") if repeat % 2 == 0 else ("prepare", "bare"):
                root = f"{place}/{side}-{repeat}"
                cost = measured(side, root, layout, asked.size, asked.workers)
                costs[side].append(cost)
                per_s = asked.files / cost.seconds
                print(f"{side:8} {per_s:>9,.0f} files/s  {format_rate_bytes(per_s * asked.size)}", flush=True)
                if not asked.keep:
                    shutil.rmtree(root)
        print(f"{summary(costs, asked.files)}; {asked.workers} processes, {asked.files:,} x {asked.size} bytes")
    finally:
        if not asked.keep:
            shutil.rmtree(place)


if __name__ == "__main__":
    main()
