"""How long `ioprof --help` takes: goal under 0.35 s; beside it the interpreter alone and `ioprof list`.

python tests/benchmarks/bench_startup.py --repeats 15
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "ioprof --help": [str(Path(sys.executable).with_name("ioprof")), "--help"],
    "ioprof list": [str(Path(sys.executable).with_name("ioprof")), "list"],
}


def main() -> None:
    """Take turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.repeats):
        for name, words in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            times[name].append(time.perf_counter() - start)
    for name, taken in times.items():
        quarters = statistics.quantiles(taken, n=4)
        print(f"{name:<16} {statistics.median(taken):.3f} s (quartiles {quarters[0]:.3f} - {quarters[2]:.3f})")


if __name__ == "__main__":
    main()
