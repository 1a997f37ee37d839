"""MLPerf Storage's figures and rules, against step tables and sizes worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioprof.analysis.mlperf import mlperf_rates
from ioprof.analysis.summarise import summarise
from ioprof.contract import MlperfRules
from ioprof.plugins import find_workload
from ioprof.runner.mlperf import files_needed, mlperf_record
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve
from ioprof.trace.run_record import EpochRecord, MlperfRecord
from tests.unit.test_analysis_measured import ranks_of
from tests.unit.trace_builder import S, make_trace, run_record, step_row

GIB = 1 << 30
THREE_STEPS = [step_row(0, 0, 4 * S, 14 * S), step_row(1, 14 * S, 15 * S, 25 * S), step_row(2, 25 * S, 27 * S, 37 * S)]
ONE_EPOCH = [EpochRecord(epoch=0, start_ns=0, end_ns=40 * S)]


def _plan(tmp_path: Path, *words: str, workload: str = "mlperf-unet3d") -> RunPlan:
    places = [("store", str(tmp_path / "store")), ("results", str(tmp_path / "results"))]
    flags = [(word.removeprefix("--"), value) for word, value in zip(words[::2], words[1::2], strict=True)]
    return plan_run(resolve(raw_spec(workload, places + flags, [], [])))


def test_their_rate_counts_one_step_less_than_its_time_covers() -> None:
    """Three steps, T = 40 - 14 = 26 s: (3 - 2) / 26 s x 7 samples, though two steps were made in it."""
    rates = mlperf_rates(ranks_of(THREE_STEPS), ONE_EPOCH, 7)
    assert not isinstance(rates, str)
    assert (rates.samples_per_s, rates.au) == (pytest.approx(7 / 26), pytest.approx(20 / 26))


def test_rates_of_epochs_are_averaged_and_those_of_ranks_are_added_up() -> None:
    """Two ranks alike: the same utilisation, twice the samples. Two epochs: (1 / 40 + 1 / 60) / 2 steps per time."""
    rows = [step_row(k, k * 20, k * 20 + 10, k * 20 + 20, epoch=k // 3) for k in range(6)]
    epochs = [EpochRecord(epoch=0, start_ns=0, end_ns=60), EpochRecord(epoch=1, start_ns=60, end_ns=140)]
    one = mlperf_rates(ranks_of(rows), epochs, 8)
    two = mlperf_rates(ranks_of([*rows, *(row | {"rank": 1} for row in rows)]), epochs, 8)
    assert not isinstance(one, str)
    assert not isinstance(two, str)
    assert one.samples_per_s == pytest.approx((1 / 40 + 1 / 60) / 2 * 1e9 * 8)
    assert (two.au, two.samples_per_s) == (pytest.approx(one.au), pytest.approx(2 * one.samples_per_s))


def _summary(threshold: float | None, *against: str) -> tuple[object, dict[str, str]]:
    rules = MlperfRecord(record_bytes=3 * 2**20, threshold=threshold, not_comparable=list(against))
    run = run_record(mlperf=rules, batch_size=7, epochs=ONE_EPOCH)
    summary = summarise(make_trace(run, steps=THREE_STEPS))
    assert summary.mlperf is not None
    return summary.mlperf, summary.reasons


def test_their_megabytes_are_mebibytes_of_the_nominal_record() -> None:
    """Samples/s x 3 MiB, whatever was read."""
    result, _ = _summary(0.7)
    assert result.mib_per_s == pytest.approx(3 * 7 / 26)  # type: ignore[attr-defined]


@pytest.mark.parametrize(("threshold", "passed"), [(0.76, True), (0.77, False), (None, None)])
def test_a_run_passes_at_the_threshold_by_their_formula(threshold: float | None, passed: bool | None) -> None:
    """0.769 passes 0.76 and fails 0.77; without a threshold nothing is passed, and the reason says so."""
    result, reasons = _summary(threshold)
    assert result.passed is passed  # type: ignore[attr-defined]
    assert ("mlperf.passed" in reasons) == (threshold is None)


def test_a_broken_rule_makes_a_run_not_comparable() -> None:
    """None broken: comparable."""
    assert _summary(0.7)[0].comparable  # type: ignore[attr-defined]
    result, _ = _summary(0.7, "28 files where 3,500 are asked for")
    assert (result.comparable, result.reasons) == (False, ("28 files where 3,500 are asked for",))  # type: ignore[attr-defined]


def test_other_workloads_have_no_mlperf_result() -> None:
    """It is null, with the reason."""
    summary = summarise(make_trace(run_record(epochs=ONE_EPOCH), steps=THREE_STEPS))
    assert summary.mlperf is None
    assert "mlperf" in summary.reasons


def test_files_must_be_five_times_the_memory_and_give_500_steps() -> None:
    """Whichever asks for more: 5 x 1 TiB of 100 MiB files, or 500 x 2 ranks x 7 samples."""
    rules = MlperfRules(record_bytes=100 * 2**20, samples_per_file=1, threshold=0.9)
    assert files_needed(rules, 7, 2, 1024 * GIB) == -(-5 * 1024 * GIB // (100 * 2**20)) == 52_429
    assert files_needed(rules, 7, 2, GIB) == 500 * 2 * 7
    shards = MlperfRules(record_bytes=100_000, samples_per_file=1000, threshold=0.9)
    assert files_needed(shards, 400, 1, 0) == 200


def test_a_run_of_the_published_size_breaks_no_rule_but_the_place_of_its_results(tmp_path: Path) -> None:
    """Enough files, the published batch, step time and epochs; here data and results share a filesystem."""
    record = mlperf_record(_plan(tmp_path, "--files", "3500"), memory_bytes=16 * GIB)
    assert record is not None
    assert record.not_comparable == ["data and results on one filesystem"]
    assert (record.threshold, record.record_bytes) == (0.90, 146_600_628)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--scale", "0.1"], "17 files where 3,500 are asked for"),
        (["--files", "3499"], "3,499 files where 3,500 are asked for"),
        (["--epochs", "4"], "4 epochs of 5"),
        (["--duration", "10s"], "ended by its duration"),
        (["--steps", "100"], "ended by its duration or steps"),
        (["--compute", "20ms"], "a busy time of its own"),
        (["--accelerator", "l40s"], "no step time was published"),
        (["--batch-size", "8"], "no step time was published"),
        (["--accelerator", "none"], "no accelerator"),
        (["--preprocess", "1ms"], "preprocess"),
        (["--record-size", "200MB"], "record size"),
        (["--shuffle", "off"], "file order"),
        (["--files", "3500", "--store", "throttle+./data?latency=1ms"], "the store is throttled"),
    ],
)
def test_each_rule_that_is_broken_is_told(tmp_path: Path, words: list[str], told: str) -> None:
    """By what was done and what is asked for."""
    words = words if "--files" in words or "--scale" in words else [*words, "--files", "5000"]
    plan = _plan(tmp_path, *words, "--results", "/dev/shm/none")
    record = mlperf_record(plan, memory_bytes=GIB)
    assert record is not None
    assert [told in reason for reason in record.not_comparable] == [True], record.not_comparable


@pytest.mark.parametrize(
    ("workload", "accelerator", "batch_size", "busy_ns"),
    [
        ("mlperf-unet3d", "h100", 7, 323_000_000),
        ("mlperf-unet3d", "a100", 7, 636_000_000),
        ("mlperf-unet3d", "v100", 4, 1_360_400_000),
        ("mlperf-unet3d", "b200", 7, 162_000_000),
        ("mlperf-retinanet", "b200", 24, 47_550_000),
        ("mlperf-retinanet", "mi355x", 32, 63_400_000),
    ],
)
def test_an_accelerator_brings_the_batch_size_that_was_published_for_it(
    tmp_path: Path, workload: str, accelerator: str, batch_size: int, busy_ns: int
) -> None:
    """And its exact step time, which is no estimate."""
    plan = _plan(tmp_path, "--accelerator", accelerator, workload=workload)
    assert plan.spec.loader_section.batch_size == batch_size
    assert (plan.accelerator.record.busy_ns_per_batch, plan.accelerator.record.is_estimate) == (busy_ns, False)


def test_another_batch_size_scales_the_step_time_and_marks_it(tmp_path: Path) -> None:
    """14 samples take twice as long as 7, as far as anyone knows."""
    record = _plan(tmp_path, "--batch-size", "14").accelerator.record
    assert (record.busy_ns_per_batch, record.is_estimate) == (646_000_000, True)
    assert record.source.endswith("scaled to 14")


def test_a_scale_of_one_is_the_published_dataset() -> None:
    """And smaller ones round up to whole files, at least one."""
    preset = find_workload("mlperf-unet3d")
    counts = [preset(preset.Params.model_validate({"scale": scale}), 1).samples() for scale in (1, 0.5, 0.1, 1e-9)]
    assert counts == [168, 84, 17, 1]
