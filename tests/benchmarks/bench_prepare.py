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
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.prepare import prepare
from ioprof.dataset.sizes import Fixed
from ioprof.store.local import LocalStore
from ioprof.units import format_count, format_rate_bytes, parse_bytes, parse_count

_BARE = """
import os, sys
root, start, stop, size, per_dir = sys.argv[1], *map(int, sys.argv[2:])
content = os.urandom(size)
for i in range(start, stop):
    fd = os.open(f"{root}/{i // per_dir}/{i}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o666)
    os.write(fd, content)
    os.close(fd)
"""


def bare_seconds(root: str, layout: OpaqueLayout, size_bytes: int, workers: int) -> float:
    """Seconds that plain writer processes take, directories and process start included."""
    begin = time.perf_counter()
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
    return time.perf_counter() - begin


def prepare_seconds(root: str, layout: OpaqueLayout, workers: int) -> tuple[float, float]:
    """Seconds that preparation takes before its final sync, and those of the sync."""
    prepared = prepare(LocalStore(root), "bench", layout, workers=workers)
    return prepared.seconds - prepared.sync_seconds, prepared.sync_seconds


def main() -> None:
    """Run both sides in turn and print their rates and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--files", type=parse_count, default=200_000)
    parser.add_argument("--size", type=parse_bytes, default=4096)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--files-per-dir", type=int, default=1000)
    parser.add_argument("--dir", default=None, help="directory on the disk to measure (default: the temporary one)")
    options = parser.parse_args()
    layout = OpaqueLayout(count=options.files, sizes=Fixed(options.size), files_per_dir=options.files_per_dir, seed=1)
    if layout.naming.two_levels:
        parser.error("more than --files-per-dir directories: the bare side knows one level only")
    bare: list[float] = []
    ours: list[float] = []
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-", dir=options.dir) as place:
        for repeat in range(options.repeats):
            for side in ("bare", "prepare") if repeat % 2 == 0 else ("prepare", "bare"):
                os.sync()
                root = f"{place}/{side}"
                if side == "bare":
                    bare.append(bare_seconds(root, layout, options.size, options.workers))
                    note = ""
                else:
                    seconds, sync_seconds = prepare_seconds(root, layout, options.workers)
                    ours.append(seconds)
                    note = f", then {sync_seconds:.1f} s of sync"
                rate = options.files / (bare if side == "bare" else ours)[-1]
                bandwidth = format_rate_bytes(rate * options.size)
                print(f"{side:8} {format_count(round(rate)):>9} files/s  {bandwidth}{note}", flush=True)
                shutil.rmtree(root)
    ratios = [b / o for b, o in zip(bare, ours, strict=True)]
    our_rate, bare_rate = (format_count(round(options.files / statistics.median(side))) for side in (ours, bare))
    print(
        f"prepare reaches {statistics.median(ratios):.1%} of bare writers (median of {len(ratios)} pairs, "
        f"{min(ratios):.1%} - {max(ratios):.1%}): {our_rate} against {bare_rate} files/s, "
        f"{options.workers} processes, {format_count(options.files)} files of {options.size} bytes"
    )


if __name__ == "__main__":
    main()
