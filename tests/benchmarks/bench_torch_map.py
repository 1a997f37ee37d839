"""`torch-map` under ioprof against the same DataLoader written by hand: warm cache, compute 0, interleaved.

    python tests/benchmarks/bench_torch_map.py --files 50k --pairs 9

Prints the ratio of samples/s (ioprof / by hand) of every pair and their median; the goal is 0.98 or more.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

from ioprof.dataset.prepare import Prepared, prepare
from ioprof.runner.observer import Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.runner.record import Recording
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve
from ioprof.trace.reader import load_trace
from ioprof.units import parse_count

BATCH = 64


class ByHand(Dataset[bytes]):
    """What a user writes: a list of paths, one open-read-close per sample."""

    def __init__(self, paths: list[str], size_bytes: int) -> None:
        self._paths = paths
        self._size_bytes = size_bytes

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self._paths)

    def __getitem__(self, index: int) -> bytes:
        """Read one file."""
        descriptor = os.open(self._paths[index], os.O_RDONLY)
        content = os.read(descriptor, self._size_bytes)
        os.close(descriptor)
        return content


def join(samples: list[bytes]) -> torch.Tensor:
    """Join samples into one tensor, as torch-map does."""
    return torch.frombuffer(bytearray().join(samples), dtype=torch.uint8).view(len(samples), -1)


def by_hand(paths: list[str], size_bytes: int, workers: int, prefetch: int, warmup: int, seed: int) -> float:
    """Return samples/s of one epoch after the warm-up batches."""
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(
        ByHand(paths, size_bytes), batch_size=BATCH, shuffle=True, drop_last=True, num_workers=workers,
        collate_fn=join, prefetch_factor=prefetch if workers else None, generator=generator,
    )  # fmt: skip
    batches = 0
    start = time.perf_counter()
    for number, batch in enumerate(loader):
        if number == warmup - 1:
            start = time.perf_counter()
        batches = number + 1
        del batch
    return (batches - warmup) * BATCH / (time.perf_counter() - start)


def under_ioprof(plan: RunPlan, prepared: Prepared) -> float:
    """Return samples/s of the measured steps of one recorded run."""
    recording = Recording(plan, prepared, ["bench"], Silent())
    recording.run()
    trace = load_trace(recording.directory)
    ends = trace.steps["busy_end_ns"].to_pylist()
    warmup = plan.spec.run.warmup
    return (len(ends) - warmup) * BATCH / ((ends[-1] - ends[warmup - 1]) / 1e9)


def main() -> None:
    """Prepare once, warm the cache, then alternate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", default="50k")
    parser.add_argument("--file-size", default="4KiB")
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--store", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-") as scratch:
        spec = resolve(
            raw_spec(
                "small-files",
                [
                    ("store", options.store or f"{scratch}/store"), ("files", options.files), ("epochs", "1"),
                    ("file-size", options.file_size), ("workers", str(options.workers)), ("accelerator", "none"),
                    ("batch-size", str(BATCH)), ("cache", "asis"), ("results", f"{scratch}/results"),
                ],
                ["run.warmup=20"],
                [],
            )
        )  # fmt: skip
        plan = plan_run(spec)
        prepared = prepare(plan.store, spec.workload, plan.layout)
        root = Path(str(prepared.store.local_root))
        paths = [str(root / plan.layout.path(index)) for index in range(parse_count(options.files))]
        size_bytes = int(plan.layout.sizes(0, 1)[0])
        ratios = []
        for pair in range(options.pairs + 1):
            sides = [lambda n=pair: by_hand(paths, size_bytes, options.workers, 2, 20, n),
                     lambda: under_ioprof(plan, prepared)]  # fmt: skip
            order = [0, 1] if random.random() < 0.5 else [1, 0]
            rates = dict(zip(order, [sides[side]() for side in order], strict=True))
            if pair == 0:
                continue  # warms the cache and the imports
            ratios.append(rates[1] / rates[0])
            print(f"pair {pair}: by hand {rates[0]:,.0f}/s, under ioprof {rates[1]:,.0f}/s, ratio {ratios[-1]:.4f}")
        quarters = statistics.quantiles(ratios, n=4)
        print(
            f"median ratio {statistics.median(ratios):.4f} (quartiles {quarters[0]:.4f} - {quarters[2]:.4f}, "
            f"n={len(ratios)}); goal >= 0.98"
        )


if __name__ == "__main__":
    main()
