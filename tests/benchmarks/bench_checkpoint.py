"""Saves under ioprof against a bare torch.save, fsync and rename of the same state, interleaved.

    python tests/benchmarks/bench_checkpoint.py --size 512MiB --pairs 9 --folder /mnt/x

Prints bandwidth of both and the ratio (ioprof / bare) of every pair, and their median; the goal is 0.95 or more. On a
busy machine or disk these scatter widely; the CPU time that a save takes (ioprof / bare) is told beside them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch

from ioprof.checkpoint.saver import Saver
from ioprof.checkpoint.state import ShardState, State
from ioprof.store.local import LocalStore
from ioprof.store.tap_writer import sync_directory
from ioprof.units import format_rate_bytes, parse_bytes


def bare(state: ShardState, folder: Path, number: int) -> float:
    """Return the seconds of a save as a training script writes it."""
    path, partial = folder / f"bare-{number}.pt", folder / f"bare-{number}.pt.partial"
    start = time.perf_counter()
    torch.save(state, partial)
    descriptor = os.open(partial, os.O_RDWR)
    os.fsync(descriptor)
    os.close(descriptor)
    os.rename(partial, path)
    sync_directory(str(folder))
    seconds = time.perf_counter() - start
    path.unlink()
    return seconds


def under_ioprof(saver: Saver, state: ShardState, number: int) -> float:
    """Return the seconds from the beginning of a save until it was durable."""
    saved = saver.save(number, [state]).result()
    if saved.error is not None:
        raise saved.error
    return (saved.durable_ns - saved.begun_ns) / 1e9


def main() -> None:
    """Save in turn, the first of each pair alternating."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="512MiB")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    size_bytes = parse_bytes(options.size)
    state = State(size_bytes, 1, seed=1).shards[0]
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-", dir=options.folder) as scratch:
        folder, trace = Path(scratch) / "saves", Path(scratch) / "trace"
        folder.mkdir()
        trace.mkdir()
        saver = Saver(LocalStore(str(folder)), str(trace), rank=0, shards=1, fsync=True, keep=1)
        ratios, cpu_ratios = [], []
        for pair in range(options.pairs + 1):
            sides = [lambda n=pair: bare(state, folder, n), lambda n=pair: under_ioprof(saver, state, n)]
            order = [0, 1] if pair % 2 else [1, 0]
            seconds, cpu_s = {}, {}
            for side in order:
                before_s = time.process_time()
                seconds[side] = sides[side]()
                cpu_s[side] = time.process_time() - before_s
            if pair == 0:
                continue  # warms imports and threads
            ratios.append(seconds[0] / seconds[1])
            cpu_ratios.append(cpu_s[1] / cpu_s[0])
            rates = [format_rate_bytes(size_bytes / seconds[side]) for side in (0, 1)]
            print(f"pair {pair}: bare {rates[0]}, under ioprof {rates[1]}, ratio {ratios[-1]:.3f}")
        saver.close()
    quarters = statistics.quantiles(ratios, n=4)
    print(
        f"median ratio {statistics.median(ratios):.3f} (quartiles {quarters[0]:.3f} - {quarters[2]:.3f}, "
        f"n={len(ratios)}); goal >= 0.95; median ratio of CPU time {statistics.median(cpu_ratios):.3f}"
    )


if __name__ == "__main__":
    main()
