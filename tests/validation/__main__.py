"""Runs scenarios for real, predicts their reruns, and writes how far predictions were off.

    python -m tests.validation [--quick] [--seconds 4] [--only TEXT] [--output FOLDER] [--keep FOLDER]
    python -m tests.validation --again FOLDER      predict once more for runs that were kept, without running anything

Exit code 1 where the errors are larger than asked for. The whole takes about half an hour; it needs a quiet host.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import random
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

from ioprof.runner.interrupt import Interrupted
from tests.validation.case import Case, read_cases, write_cases
from tests.validation.judge import MOVED, Rerun, figures
from tests.validation.measure import Bench, Measured, NotMeasuredError
from tests.validation.predict import rerun_of
from tests.validation.report import judged_of, line, readme, verdict
from tests.validation.scenarios import SCENARIOS, Scenario

PUBLISHED = Path("results/published/validation")
PARTIAL = Path("build/validation")
SEED = 20_261_123


def main() -> int:
    """Run what was asked for; return the exit code."""
    options = _options()
    started, reruns = time.perf_counter(), list[Rerun]()
    with tempfile.TemporaryDirectory(prefix="ioprof-validation-") as scratch:
        cases = _kept(options) if options.again else _measured(options, options.keep or Path(scratch))
        try:
            for case in cases:
                reruns.append(rerun_of(case))
                print(line(reruns[-1]), flush=True)
        except Interrupted as signal:
            print(f"{signal.signal_name} received; what was measured until then:", file=sys.stderr)
    if not judged_of(reruns):
        return 1
    print("", *verdict(reruns), f"{time.perf_counter() - started:,.0f} s", sep="\n")
    _write(options.output or (PARTIAL if options.quick or options.only else PUBLISHED), reruns)
    return 0 if figures([one.error_ratio for one in judged_of(reruns)]).holds else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="about a dozen reruns of the most telling scenarios")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of one run; twice that where it scatters")
    parser.add_argument("--attempts", type=int, default=2, help="runs of a setting until one is known well")
    parser.add_argument(
        "--scenario-attempts", type=int, default=2, help="times that a scenario is run until its control holds"
    )
    parser.add_argument("--patience", type=float, default=0.0, help="seconds to wait for a quiet host before each run")
    parser.add_argument("--only", default="", help="scenarios whose name has this in it")
    parser.add_argument(
        "--output",
        type=Path,
        help=f"where validation.json and README.md go (default: {PUBLISHED}, and {PARTIAL} where only some were run)",
    )
    parser.add_argument("--keep", type=Path, default=None, help="folder that keeps datasets and run directories")
    parser.add_argument("--again", type=Path, default=None, help="folder that an earlier --keep filled")
    return parser.parse_args()


def _chosen(options: argparse.Namespace) -> list[Scenario]:
    chosen = [one for one in SCENARIOS if options.only in one.name and (one.quick or not options.quick)]
    return chosen or sys.exit(
        f"--only {options.only}: no such scenario; there are: {'; '.join(one.name for one in SCENARIOS)}"
    )


def _kept(options: argparse.Namespace) -> list[Case]:
    return [case for case in read_cases(options.again) if options.only in case.scenario]


def _measured(options: argparse.Namespace, folder: Path) -> Iterator[Case]:
    """Yield rerun after rerun, and keep what was measured so far."""
    folder.mkdir(parents=True, exist_ok=True)
    bench = Bench(folder, options.seconds, attempts=options.attempts, patience_s=options.patience)
    cases = list[Case]()
    for scenario in _chosen(options):
        for case in _cases(bench, scenario, options.scenario_attempts, quick=options.quick):
            cases.append(case)
            write_cases(folder, cases)
            yield case


def _cases(bench: Bench, scenario: Scenario, attempts: int, *, quick: bool) -> list[Case]:
    """Run a scenario, again where its control shows that the host changed; the steadiest one counts."""
    found = _once(bench, scenario, quick=quick)
    for _ in range(attempts - 1):
        if _moved_ratio(found) <= MOVED:
            break
        print(f"{scenario.name}: its control missed by {_moved_ratio(found):.1%}; once more", file=sys.stderr)
        again = _once(bench, scenario, quick=quick)
        found = min((found, again), key=lambda one: (-len(one), _moved_ratio(one)))
    return found


def _moved_ratio(cases: Sequence[Case]) -> float:
    """Return by how much the control missed its prediction; 0 where there is none."""
    return max((abs(rerun_of(case).error_ratio) for case in cases if not case.change), default=0.0)


def _once(bench: Bench, scenario: Scenario, *, quick: bool) -> list[Case]:
    """Run the base, all reruns in drawn order, and the base again."""
    settings = scenario.settings(quick=quick)
    random.Random(SEED).shuffle(settings)
    base: Measured | None = None
    found = list[Case]()
    for setting in [scenario.base, *settings, scenario.base]:
        try:
            measured = bench.measured(setting, setting.about_samples_per_s, probe=base is None)
        except NotMeasuredError as error:
            print(f"{scenario.name}: {scenario.base.unlike(setting) or 'base'}: {error}", file=sys.stderr)
            if base is None:
                return found
            continue
        if base is None:
            base = measured
            continue
        found.append(
            Case(scenario=scenario.name, base=scenario.base, setting=setting, calibrated=base, measured=measured)
        )
    return found


def _write(folder: Path, reruns: Sequence[Rerun]) -> None:
    host = (
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} CPUs, Linux {platform.release()}, "
        f"Python {platform.python_version()}"
    )
    words = shlex.join(["python", "-m", "tests.validation", *sys.argv[1:]])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "README.md").write_text(readme(reruns, host, words))
    rows = [
        asdict(one)
        | {
            "error_ratio": one.error_ratio if one.predicted else None,
            "untold_error_ratio": one.untold_error_ratio if one.untold else None,
        }
        for one in reruns
    ]
    record = {"host": host, "command": words, "reruns": rows}
    (folder / "validation.json").write_text(json.dumps(record, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
