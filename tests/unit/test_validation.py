"""What `make validate` asks of the model, and what it makes of the answers."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.api import spec_of
from tests.validation.case import Case, read_cases, write_cases
from tests.validation.judge import Predicted, Rerun, figures, reason
from tests.validation.measure import Measured, PerBatch
from tests.validation.report import readme, verdict
from tests.validation.scenarios import SCENARIOS
from tests.validation.setting import Setting

PER_BATCH = PerBatch(storage_ms=4.0, prep_ms=1.0, on_cpu_ms=1.5, run_queue_ms=0.1, wait_ms=2.0)
MEASURED = Measured(
    directory="run", samples_per_s=100.0, ci95=(99.5, 100.5), accelerator_utilization=0.5, steps=500, seconds=5.0,
    others_cores=0.02, cpu_speed_ns=1000.0, per_batch=PER_BATCH, attempts=1,
)  # fmt: skip


def predicted(samples_per_s: float) -> Predicted:
    """Return a prediction of a rate."""
    return Predicted(
        samples_per_s=samples_per_s, ci95=(samples_per_s * 0.96, samples_per_s * 1.04), accelerator_utilization=0.5,
        assumptions=(), outside=(),
    )  # fmt: skip


def rerun(samples_per_s: float, change: str = "workers 2 -> 4") -> Rerun:
    """Return a rerun that gave 100 samples/s."""
    said = predicted(samples_per_s)
    return Rerun(scenario="latency", change=change, calibrated=MEASURED, measured=MEASURED, predicted=said, untold=said)


def test_each_rerun_differs_from_its_base_by_what_the_model_is_told() -> None:
    """At least sixty reruns, each with a spec that holds and a change that says something."""
    asked = [(one.base, setting) for one in SCENARIOS for setting in one.settings(quick=False)]
    assert len(asked) >= 60
    for base, setting in asked:
        assert base.change_to(setting) != Change()
        assert base.unlike(setting)
        spec = spec_of(setting.spec("store", "results", 1000, 10.0, probe=False))
        assert spec.loader_section.batch_size == setting.batch_size


def test_latencies_that_change_alike_are_the_store_s_and_others_a_stage_s() -> None:
    """What `ioprof predict` would be told: --store-latency x0.5, or --stage open=x5."""
    base = Setting(open_us=200, read_us=1000, decode_us=100)
    assert base.change_to(replace(base, open_us=100, read_us=500)) == Change(store_latency_factor=0.5)
    assert base.change_to(replace(base, open_us=1000)) == Change(stage_factors={Stage.OPEN: 5.0})
    assert base.change_to(replace(base, decode_us=300)) == Change(stage_factors={Stage.DECODE: 3.0})


def test_what_no_prediction_is_made_for_is_refused() -> None:
    """A scenario cannot ask for another loader by mistake and be judged by nothing."""
    with pytest.raises(ValueError, match="start method fork -> spawn"):
        Setting().change_to(Setting(start_method="spawn"))


def test_errors_are_ranked_without_their_signs() -> None:
    """Too high and too low do not cancel, and the 95th percentile is an error that was made."""
    found = figures([*[0.01] * 18, -0.05, 0.3])
    assert (found.count, found.median, found.p95, found.worst) == (20, 0.01, 0.05, 0.3)
    assert found.holds
    assert not figures([*[0.01] * 18, -0.07, 0.3]).holds


def test_a_prediction_that_was_refused_is_an_error_without_end() -> None:
    """It is not left out of the figures."""
    refused = Rerun(
        scenario="latency", change="workers 2 -> 4", calibrated=MEASURED, measured=MEASURED, predicted=None,
        refused="too few steps",
    )  # fmt: skip
    assert math.isinf(refused.error_ratio)
    assert "no prediction: too few steps" in readme([rerun(101.0), refused], "host", "command")


def test_the_reason_of_a_miss_is_what_its_trace_shows() -> None:
    """Means per batch that moved, the CPU's speed, and whoever else was at work."""
    disturbed = replace(MEASURED, per_batch=replace(PER_BATCH, run_queue_ms=2.0), cpu_speed_ns=1200.0, others_cores=0.7)
    told = reason(replace(rerun(130.0), measured=disturbed), rerun(100.0, change=""))
    assert told == (
        "run queue 0.10 -> 2.00 ms a batch; a fixed piece of arithmetic took +20%; others used 0.70 CPUs meanwhile; "
        "the calibration's own setting, run again, gave +0.0%"
    )


def test_the_page_holds_every_rerun_and_the_answer() -> None:
    """Controls stand in the table, and are not judged."""
    reruns = [rerun(101.0), rerun(90.0, "workers 2 -> 8"), rerun(100.0, "")]
    page = readme(reruns, "a host", "make validate")
    row = "| latency | workers 2 -> 8 | 90.0 (86.4 - 93.6) | 100.0 (99.5 - 100.5) | -10.0% |  |"
    assert f"{row} x0.900, x1.000 | 50.0%, 50.0% |" in page
    assert page.count("| latency |") == 3
    first = "2 real reruns, the speed of the CPUs told: error of samples/s in the median 5.5%, 95th percentile 10.0%"
    assert verdict(reruns)[0].startswith(first)
    assert verdict(reruns)[2] == "1 of 2 measured rates lie in the interval that was predicted."


def test_reruns_of_a_host_that_changed_are_shown_and_counted_apart() -> None:
    """A control that misses says so; no rerun is dropped for its own miss."""
    steady = [rerun(101.0), rerun(100.0, "")]
    changed = [replace(one, scenario="decode") for one in (rerun(130.0), rerun(94.0, ""))]
    told = verdict([*steady, *changed])
    assert told[0].startswith("1 real reruns, the speed of the CPUs told: error of samples/s in the median 1.0%")
    assert any(one.startswith("1 more reruns, while the host changed: error") and "30.0%" in one for one in told)
    page = readme([*steady, *changed], "host", "command")
    assert "- decode: its control missed by -6.0%" in page
    assert page.count("| decode |") == 2


def test_what_a_prediction_missed_without_knowing_the_cpus_speed_stands_beside_it() -> None:
    """Both errors are in the table, and the reason names the speed."""
    slower = replace(rerun(101.0), untold=predicted(125.0), speed_factor=0.8)
    assert "| +1.0% | +25.0% |" in readme([slower], "host", "command")
    assert reason(slower, None) == "the CPUs were x0.80 as fast"


def test_kept_cases_read_back_as_they_were(tmp_path: Path) -> None:
    """Predictions can be made again without a run."""
    case = Case(scenario="s", base=Setting(), setting=Setting(workers=4), calibrated=MEASURED, measured=MEASURED)
    write_cases(tmp_path, [case])
    assert read_cases(tmp_path) == [case]
    assert case.change == "workers 2 -> 4"
