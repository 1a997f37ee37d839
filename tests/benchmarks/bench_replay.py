"""Runs of small files and their replays on the same store, in turn: the same rate, and the same times?

    python tests/benchmarks/bench_replay.py --repeats 7 --folder /mnt/x

Each round records a run and repeats it twice, in a closed loop and in an open one, the order alternating; on a
throttled store and on the folder's own disk, cold. Printed are the ratio of operations per second (closed loop; goal:
within 5 %) and by how much requests were issued at another time than recorded (open loop; goal: 1 ms in the middle),
each with its 95 % interval over rounds; and, for comparison, the ratio of the same run recorded once more.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import warnings
from pathlib import Path

import numpy as np

from ioprof import api
from ioprof.dataset.prepare import prepare
from ioprof.errors import CaveatWarning
from ioprof.replay.replaying import Asked, plan_replay, run_replay
from ioprof.runner.observer import Silent
from ioprof.trace.kinds import Kind
from ioprof.trace.reader import load_trace
from ioprof.trace.replay_record import Pace

STORES = {
    "throttled": "throttle+{folder}/data?latency=2ms&iops=2000",
    "disk": "{folder}/data",
    "disk with an accelerator": "{folder}/data",
}
COMPUTE = {"disk with an accelerator": "10ms"}
"""Busy time per batch; without it batches are taken as they come, and the store is asked for all it can give."""
RESAMPLES = 2000


def recorded(folder: Path, url: str, compute: str | None, options: argparse.Namespace) -> api.Run:
    """Record a run."""
    return api.run(
        {
            "workload": {"name": "small-files", "files": options.files, "file_size": "16KiB"},
            "store": {"url": url},
            "loader": {"name": options.loader, "workers": options.workers, "batch_size": 32},
            "accelerator": {"name": "none"} if compute is None else {"compute": compute},
            "run": {"epochs": 1, "probe": False, "results": str(folder / "results")},
        }
    )


def repeated(run: api.Run, folder: Path, url: str, pace: Pace) -> api.Run:
    """Repeat it on the same store."""
    replay = plan_replay(run.directory, Asked(store_url=url, pace=pace, results=str(folder / "results")))
    prepared = prepare(replay.store, replay.staging.name, replay.staging.layout)
    return run_replay(replay, prepared, ["bench_replay"], Silent())


def rate_ratio(replay: api.Run) -> float:
    """Return operations per second, replayed over recorded."""
    found = replay.summary.replay
    if found is None or found.iops_ratio is None:
        raise RuntimeError(f"{replay.directory}: no rate")
    return found.iops_ratio


def opened_ns(directory: Path) -> dict[int, int]:
    """Return when each object was opened; every object is opened once."""
    found: dict[int, int] = {}
    for batch in load_trace(directory).spans():
        opening = batch.filter(np.asarray(batch["kind"]) == Kind.OPEN)
        found |= dict(zip(opening["object"].to_pylist(), opening["start_ns"].to_pylist(), strict=True))
    return found


def time_errors_ns(run: api.Run, replay: api.Run) -> np.ndarray:
    """Return by how much each object was opened at another time, from the spans of both.

    Where the replay's zero lies is judged by the request that was least late: errors are never too small by that.
    """
    then, now = opened_ns(run.directory), opened_ns(replay.directory)
    apart = np.array([now[obj] - at_ns for obj, at_ns in then.items()])
    return np.abs(apart - apart.min())


def interval(values: list[float]) -> str:
    """Return the median with its bootstrapped 95 % interval, and all values."""
    random = np.random.default_rng(1)
    medians = np.median(random.choice(values, size=(RESAMPLES, len(values))), axis=1)
    low, high = np.percentile(medians, [2.5, 97.5])
    told = " ".join(f"{value:.4g}" for value in values)
    return f"{statistics.median(values):.4g} (95 % CI {low:.4g} - {high:.4g}, n={len(values)}: {told})"


def main() -> None:
    """Record and repeat, round after round."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--files", type=int, default=4000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--loader", default="torch-map")
    parser.add_argument("--stores", default=",".join(STORES))
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    warnings.simplefilter("ignore", CaveatWarning)
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-", dir=options.folder) as scratch:
        folder = Path(scratch)
        for name in options.stores.split(","):
            url = STORES[name].format(folder=folder)
            ratios, middle_ms, late_ms, again = list[float](), list[float](), list[float](), list[float]()
            for turn in range(options.repeats):
                run = recorded(folder, url, COMPUTE.get(name), options)
                paces: list[Pace] = ["closed", "open"] if turn % 2 else ["open", "closed"]
                done = {pace: repeated(run, folder, url, pace) for pace in paces}
                ratios.append(rate_ratio(done["closed"]))
                errors_ns = time_errors_ns(run, done["open"])
                middle_ms.append(float(np.median(errors_ns)) / 1e6)
                late_ms.append(float(np.percentile(errors_ns, 99)) / 1e6)
                second = recorded(folder, url, COMPUTE.get(name), options).summary.iops
                again.append((second or 0.0) / (run.summary.iops or 1.0))
            print(f"{name}: closed loop, operations/s over recorded: {interval(ratios)}; goal 0.95 - 1.05")
            print(f"{name}: the same run recorded again, over recorded: {interval(again)}")
            print(f"{name}: open loop, openings off their time, ms: p50 {interval(middle_ms)}; goal 1")
            print(f"{name}: open loop, openings off their time, ms: p99 {interval(late_ms)}", flush=True)


if __name__ == "__main__":
    main()
