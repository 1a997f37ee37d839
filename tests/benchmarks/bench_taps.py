"""What the taps cost: file calls with them and without, on the same warm file, in turns of a few milliseconds.

    python tests/benchmarks/bench_taps.py --rounds 60
    IOPROF_READS=python python tests/benchmarks/bench_taps.py

A round does a thousand of each call bare and a thousand with the taps, every other round the other way round,
in an order of its own. All that comes of them goes to a recorder, as it does in a worker, and is folded into its
statistics there. Printed are CPU times: the median of the bare calls, how much more the tapped ones took on average,
and with its 95 % interval by bootstrap over the rounds.
"""

from __future__ import annotations

import argparse
import io
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from ioprof.capture import start
from ioprof.capture.taps import IS_COMPILED
from ioprof.trace.kinds import Phase
from ioprof.trace.recorder import Recorder

_CALLS = 1000


def main() -> None:
    """Make a file, take turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-") as scratch:
        path = Path(scratch, "file")
        path.write_bytes(os.urandom(4096))
        recorder = Recorder(scratch, rank=0, worker=0, span_budget=1000)
        recorder.begin(Phase.STEADY)
        cases = _cases(str(path))
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
        for number in range(rounds + 1):
            cases = dict(random.sample(list(cases.items()), len(cases)))
            bare = {} if number % 2 else _turn(cases)
            capture = start(recorder)
            tapped = _turn(cases)
            capture.close()
            bare = bare or _turn(cases)
            if number:
                for name in cases:
                    times[name].append((bare[name], tapped[name]))
        recorder.close()
    print(f"taps: {'compiled' if IS_COMPILED else 'in Python'}; {rounds} rounds of {_CALLS} calls")
    for name, pairs in times.items():
        more = [tapped - bare for bare, tapped in pairs]
        means = sorted(statistics.fmean(random.choices(more, k=len(more))) for _ in range(1000))
        bare_ns = statistics.median(bare for bare, _ in pairs)
        told = f"bare {bare_ns:6.0f} ns, tapped + {statistics.fmean(more):5.0f} ns ({means[25]:.0f} - {means[-25]:.0f})"
        print(f"{name:<28} {told}")
    print(f"of which folding an operation into the statistics: {recorder.flush_ns / recorder.operations:.0f} ns")


def _turn(cases: dict[str, Callable[[], object]]) -> dict[str, float]:
    """Return the CPU time that a call of each case takes, in ns: what others do to this machine is no part of it."""
    took = {}
    for name, call in cases.items():
        began_ns = time.thread_time_ns()
        for _ in range(_CALLS):
            call()
        took[name] = (time.thread_time_ns() - began_ns) / _CALLS
    return took


def _cases(path: str) -> dict[str, Callable[[], object]]:
    """Return the calls; each looks its functions up when it is called, as user code does."""
    kept, space = os.open(path, os.O_RDONLY), bytearray(4096)
    raw = io.FileIO(path)

    def whole_file() -> None:
        with open(path, "rb") as file:
            file.read()

    return {
        "os.stat": lambda: os.stat(path),
        "os.open, os.close": lambda: os.close(os.open(path, os.O_RDONLY)),
        "os.pread of 4 KiB": lambda: os.pread(kept, 4096, 0),
        "FileIO.readinto of 4 KiB": lambda: (raw.seek(0), raw.readinto(space)),
        "with open(): read() of 4 KiB": whole_file,
    }


if __name__ == "__main__":
    main()
