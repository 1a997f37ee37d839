"""Does `ioprof tune` choose what trying everything chooses, and in what part of the time?

For each scenario every setting is run once (workers 0 to 8, prefetch 1, 2, 4 and 8), then the same is tuned; both on
the same prepared dataset, with runs of the same length. Where the two choices differ they are run again by turns, so
that one noisy run decides nothing. Bar: the rate of tune's choice is within 2 % of that of the exhaustive choice, in at
most a quarter of the time.

    python tests/benchmarks/bench_tune.py                       # all scenarios, about 3 minutes each
    python tests/benchmarks/bench_tune.py latency warm --duration 2s
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ioprof import api
from ioprof.runner.observer import Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.spec.model import RunSpec
from ioprof.tuning.choose import NEAR_RATIO
from ioprof.tuning.predictor import Corrected
from ioprof.tuning.replay import Replay
from ioprof.tuning.room import room
from ioprof.tuning.search import Search, Task, Unheard, choice
from ioprof.tuning.setting import Setting
from ioprof.tuning.task import Wish, limits_of, wanted_settings
from ioprof.tuning.workload import WorkloadRuns
from ioprof.units import parse_duration_ns

MOST_WORKERS = 8
BAR_TIME_RATIO = 0.25
PAIRS = 3
_SMALL: dict[str, str | int] = {"name": "small-files", "files": 4000, "file_size": "4KiB"}

SCENARIOS: dict[str, tuple[str, dict[str, dict[str, str | int]]]] = {
    "latency": (
        "a store that takes 4 ms for an operation and 1,200 operations/s at most",
        {"store": {"url": "throttle+{data}?latency=4ms&iops=1200"}, "loader": {"batch_size": 8},
         "accelerator": {"name": "none"}, "run": {"cache": "asis"}},
    ),
    "cpu": (
        "2 ms of CPU time to decode a sample",
        {"workload": _SMALL | {"decode": "2ms"}, "loader": {"batch_size": 16}, "accelerator": {"name": "none"},
         "run": {"cache": "warm"}},
    ),
    "warm": (
        "a warm page cache: moving batches costs more than reading them",
        {"loader": {"batch_size": 64}, "accelerator": {"name": "none"}, "run": {"cache": "warm"}},
    ),
    "fed": (
        "an accelerator that takes 16 samples every 40 ms from a store that takes 4 ms for an operation",
        {"store": {"url": "throttle+{data}?latency=4ms"}, "loader": {"batch_size": 16},
         "accelerator": {"compute": "40ms"}, "run": {"cache": "asis"}},
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What one scenario came to."""

    exhaustive: Setting
    tuned: Setting
    runs: tuple[int, int]
    seconds: tuple[float, float]
    ratios: list[float]
    """Rate of tune's choice over that of the exhaustive choice, pair by pair; empty: they are the same."""

    @property
    def ratio(self) -> float:
        """The median of them."""
        return statistics.median(self.ratios) if self.ratios else 1.0

    @property
    def is_met(self) -> bool:
        """Whether the bar is."""
        return self.ratio >= NEAR_RATIO and self.seconds[1] <= BAR_TIME_RATIO * self.seconds[0]


def spec_of(name: str, folder: Path, duration: str) -> RunSpec:
    """Return the spec of a scenario."""
    data = folder / "data"
    sections = {key: dict(values) for key, values in SCENARIOS[name][1].items()}
    sections.setdefault("workload", dict(_SMALL))
    url = str(sections.get("store", {}).get("url", "{data}")).format(data=data)
    sections["store"] = {"url": url}
    sections["run"] |= {"duration": duration}
    return api.spec_of(sections)


def exhaustive(plan: RunPlan, folder: Path, settings: list[Setting]) -> tuple[dict[Setting, float], float]:
    """Run every setting; return the rates, and the time it took."""
    unprobed = replace(plan, spec=replace(plan.spec, run=plan.spec.run.model_copy(update={"probe": False})))
    runs = WorkloadRuns(unprobed, api.prepare_plan(plan), folder / "exhaustive", ["bench_tune"], Silent())
    start_s = time.monotonic()
    found = {one: runs.measure(one).samples_per_s or 0.0 for one in settings}
    return found, time.monotonic() - start_s


def by_turns(plan: RunPlan, folder: Path, tuned: Setting, other: Setting) -> list[float]:
    """Run two settings one after the other, several times."""
    if tuned == other:
        return []
    unprobed = replace(plan, spec=replace(plan.spec, run=plan.spec.run.model_copy(update={"probe": False})))
    runs = WorkloadRuns(unprobed, api.prepare_plan(plan), folder / "pairs", ["bench_tune"], Silent())
    pairs = [[runs.measure(one).samples_per_s or 0.0 for one in (tuned, other)] for _ in range(PAIRS)]
    return [first / second if second else 0.0 for first, second in pairs]


def judged(name: str, folder: Path, duration: str) -> Outcome:
    """Do one scenario."""
    spec, wish = spec_of(name, folder, duration), Wish(most_workers=MOST_WORKERS)
    plan, host = plan_run(spec), room()
    limits = limits_of(plan, host, wish)
    wanted = wanted_settings(spec, wish, limits.most_workers)
    fitting = [one for one in wanted if limits.refusal(one) is None]
    rates, all_s = exhaustive(plan, folder, fitting)
    best = min(one for one, rate in rates.items() if rate >= NEAR_RATIO * max(rates.values()))
    start_s = time.monotonic()
    search = Search(
        Task(
            tunable=WorkloadRuns(plan, api.prepare_plan(plan), folder / "tuned", ["bench_tune"], Silent()),
            predictor=Corrected(Replay()),
            settings=wanted,
            limits=limits,
            budget_s=120.0,
        ),
        Unheard(),
    )
    search.run()
    found = choice(search.known())
    tune_s = time.monotonic() - start_s
    chosen = found[0].setting if found is not None else Setting(0, None)
    for one in search.measured:
        before = rates.get(one.setting, 0.0)
        print(f"    tuned: {one.setting.told}: {one.samples_per_s or 0:,.0f} (exhaustive {before:,.0f})")
    ratios = by_turns(plan, folder, chosen, best)
    return Outcome(best, chosen, (len(rates), len(search.measured)), (all_s, tune_s), ratios)


def main() -> int:
    """Print one block for each scenario; exit code 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=f"of {', '.join(SCENARIOS)}; all by default")
    parser.add_argument("--duration", default="3s", help="length of each run")
    parser.add_argument("--folder", type=Path, help="where data goes; a temporary folder by default")
    given = parser.parse_args()
    parse_duration_ns(given.duration)
    if unknown := sorted(set(given.scenarios) - SCENARIOS.keys()):
        parser.error(f"no scenario {', '.join(unknown)}; there are {', '.join(SCENARIOS)}")
    missed = 0
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-", dir=given.folder) as folder:
        for name in given.scenarios or SCENARIOS:
            print(f"{name}: {SCENARIOS[name][0]}", flush=True)
            found = judged(name, Path(folder), given.duration)
            spread = (
                f" ({min(found.ratios):.3f} - {max(found.ratios):.3f} in {PAIRS} pairs)"
                if found.ratios
                else " (the same)"
            )
            print(f"    exhaustive: {found.exhaustive.told}, {found.runs[0]} runs in {found.seconds[0]:.0f} s")
            print(f"    tune:       {found.tuned.told}, {found.runs[1]} runs in {found.seconds[1]:.0f} s")
            print(
                f"    {'met' if found.is_met else 'MISSED'}: {found.ratio:.3f} of its rate{spread} in "
                f"{found.seconds[1] / found.seconds[0]:.2f} of its time",
                flush=True,
            )
            missed += not found.is_met
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
