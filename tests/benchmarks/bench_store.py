"""The local store's direct path, and the traced one, against bare os calls on the same warm files.

    python tests/benchmarks/bench_store.py --files 20k --repeats 15

Three loops take turns: bare os.open/os.read/os.close, `LocalStore.read`, and the traced `LocalTap.read_objects`. The
goal is for the direct path: at most 1.05 times the bare time. What tracing adds is printed beside it.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable

from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.prepare import prepare
from ioprof.dataset.size_text import parse_sizes
from ioprof.store.local import LocalStore
from ioprof.store.local_tap import tap_store
from ioprof.trace.kinds import Phase
from ioprof.trace.recorder import Recorder
from ioprof.units import parse_count

_BATCH = 64


def main() -> None:
    """Prepare, warm, take turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", default="20k")
    parser.add_argument("--file-size", default="4KiB")
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-") as scratch:
        layout = OpaqueLayout(count=parse_count(options.files), sizes=parse_sizes(options.file_size))
        store = prepare(LocalStore(f"{scratch}/store"), "bench", layout).store
        os.mkdir(f"{scratch}/trace")
        sides = loops(store, layout, f"{scratch}/trace")
        times: dict[str, list[float]] = {name: [] for name in sides}
        for repeat in range(options.repeats + 1):
            for name, loop in sides.items():
                start = time.perf_counter()
                loop()
                if repeat:
                    times[name].append(time.perf_counter() - start)
        for name, taken in times.items():
            ratios = [one / bare for one, bare in zip(taken, times["bare os calls"], strict=True)]
            quarters = statistics.quantiles(ratios, n=4)
            print(
                f"{name:<16} {statistics.median(taken) / layout.count * 1e6:6.2f} µs per file, "
                f"{statistics.median(ratios):.3f} of bare (quartiles {quarters[0]:.3f} - {quarters[2]:.3f}, "
                f"n={len(ratios)})"
            )


def loops(store: LocalStore, layout: OpaqueLayout, trace_dir: str) -> dict[str, Callable[[], None]]:
    """Return the three ways to read every file once."""
    size_bytes = int(layout.sizes(0, 1)[0])
    relative = [layout.path(index) for index in range(layout.count)]
    absolute = [f"{store.local_root}/{path}" for path in relative]
    recorder = Recorder(trace_dir, rank=0, worker=0, span_budget=10**6)
    tap = tap_store(store, recorder)

    def bare() -> None:
        for path in absolute:
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            os.read(descriptor, size_bytes)
            os.close(descriptor)

    def direct() -> None:
        for path in relative:
            store.read(path, size_bytes)

    def traced() -> None:
        for start in range(0, len(absolute), _BATCH):
            paths = absolute[start : start + _BATCH]
            recorder.begin(Phase.STEADY, batch=start // _BATCH)
            tap.read_objects(paths, [size_bytes] * len(paths), range(start, start + len(paths)))
            recorder.end()

    return {"bare os calls": bare, "direct path": direct, "traced": traced}


if __name__ == "__main__":
    main()
