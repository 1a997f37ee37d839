"""Memory of the consumer's process while it reads a million files, and how it grows from epoch to epoch.

    python tests/benchmarks/bench_memory.py --files 1M --workers 4 --epochs 3

The resident set of the process that runs the step loop is what must not grow: a thread of this script samples
/proc/self/statm while the run goes on. Goals: under 600 MiB, growth per epoch
under 1 %.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ioprof import api
from ioprof.clock import now_ns
from ioprof.runner.observer import Silent
from ioprof.runner.plan import plan_run
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve
from ioprof.units import format_bytes

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@contextmanager
def resident_samples(interval_s: float) -> Iterator[list[tuple[int, int]]]:
    """Collect (time_ns, resident bytes) of this process while the block runs."""
    samples: list[tuple[int, int]] = []
    stop = threading.Event()

    def collect() -> None:
        while not stop.wait(interval_s):
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            samples.append((now_ns(), pages * _PAGE_BYTES))

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def main() -> None:
    """Prepare, run some epochs, print the peak of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", default="1M")
    parser.add_argument("--file-size", default="4KiB")
    parser.add_argument("--workers", default="4")
    parser.add_argument("--epochs", default="3")
    parser.add_argument("--store", default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-") as scratch:
        flags = [
            ("store", options.store or f"{scratch}/store"), ("files", options.files), ("file-size", options.file_size),
            ("workers", options.workers), ("epochs", options.epochs), ("accelerator", "none"), ("cache", "asis"),
            ("batch-size", "256"), ("results", f"{scratch}/results"),
        ]  # fmt: skip
        plan = plan_run(resolve(raw_spec("small-files", flags, [], [])))
        prepared = api.prepare_plan(plan)
        with resident_samples(0.1) as samples:
            run = api.record_and_load(plan, prepared, ["bench_memory"], Silent())
    peaks = []
    for epoch in run.record.epochs:
        peaks.append(max(resident for at, resident in samples if epoch.start_ns <= at <= epoch.end_ns))
        growth = f", {peaks[-1] / peaks[-2] - 1:+.2%} over the epoch before" if len(peaks) > 1 else ""
        print(f"epoch {epoch.epoch}: peak resident {format_bytes(peaks[-1])}{growth}")
    print(f"peak {format_bytes(max(peaks))}, goal < 600 MiB; {run.summary.samples:,} samples read")


if __name__ == "__main__":
    main()
