"""Who slows whom: ratios of rates, their intervals, how far pipelines met, and the words for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.analysis.bootstrap import MIN_STEPS, StepTimes, rate_ratio_ci95
from ioprof.analysis.interference import MeasuredSteps, overlap_ratio, rate_ratio
from ioprof.compound.figures import KeyFigures
from ioprof.compound.interference import caveats_of, faster_caveats, interference_of, sentence_of
from ioprof.compound.mixed_record import MixedRecord, PhaseRecord, PipelineRecord, PipelineRun
from ioprof.report.mixed import render_mixed

SECOND = 10**9


def measured(step_ns: int, steps: int = 40, *, start_ns: int = 0, jitter_ns: int = 0) -> MeasuredSteps:
    """Return steps of 10 samples, one after the other."""
    times = np.full(steps, step_ns, np.int64) + np.random.default_rng(1).integers(0, jitter_ns + 1, steps)
    end_ns = start_ns + int(times.sum())
    samples = np.full(steps, 10, np.int64)
    return MeasuredSteps(start_ns=start_ns, end_ns=end_ns, steps=StepTimes(samples=samples, step_ns=times))


def figures(rate: float, *, p99_ns: float = 1e6, cpu: float = 0.2) -> KeyFigures:
    """Return the figures of a run."""
    return KeyFigures(
        samples=100, steps=40, samples_per_s=rate, accelerator_utilization=0.5, accelerator_utilization_ci95=None,
        iops=rate * 3, bandwidth_bytes_per_s=1e6, dearest_operation="read", p99_ns=p99_ns, host_cpu_utilization=cpu,
        client_hit_ratio=0.0, errors=0, verdict="It is so.",
    )  # fmt: skip


def run(pipeline: str, found: KeyFigures | None, overlap: float | None = None) -> PipelineRun:
    """Return one pipeline's part of a phase."""
    return PipelineRun(
        pipeline=pipeline,
        directory="d",
        problem=None,
        figures=found,
        window_s=10.0,
        paused_s=0.0,
        overlap_ratio=overlap,
    )


def phase(name: str, *runs: PipelineRun, outcome: str = "complete") -> PhaseRecord:
    """Return a phase."""
    return PhaseRecord.model_validate({"name": name, "outcome": outcome, "reason": None, "runs": list(runs)})


def two_pipelines(slowed: float, **together: float) -> tuple[list[PhaseRecord], dict[tuple[str, str], MeasuredSteps]]:
    """Return phases in which `b` slows `a` to a share of its rate, and `a` does nothing to `b`."""
    phases = [
        phase("alone-a", run("a", figures(100))),
        phase("alone-b", run("b", figures(50))),
        phase("together", run("a", figures(100 * slowed, **together), 0.98), run("b", figures(50), 0.99)),
    ]
    steps = {
        ("alone-a", "a"): measured(SECOND),
        ("alone-b", "b"): measured(SECOND),
        ("together", "a"): measured(round(SECOND / slowed)),
        ("together", "b"): measured(SECOND),
    }
    return phases, steps


@given(st.integers(1000, 10**9), st.integers(1000, 10**9))
def test_a_rate_ratio_is_that_of_the_step_times(beside_ns: int, alone_ns: int) -> None:
    """Even steps leave no doubt: the interval is the value."""
    found = rate_ratio(measured(beside_ns), measured(alone_ns))
    assert found is not None
    assert found.ratio == pytest.approx(alone_ns / beside_ns, rel=1e-6)
    assert found.ci95 == pytest.approx((found.ratio, found.ratio), rel=1e-6)


def test_an_interval_covers_the_truth_and_narrows_with_more_steps() -> None:
    """Steps that vary by as much as they last, ten times as many of them."""

    def interval(steps: int) -> tuple[float, float]:
        found = rate_ratio(
            measured(2 * SECOND, steps, jitter_ns=SECOND), measured(SECOND, steps, jitter_ns=SECOND // 2)
        )
        assert found is not None
        assert found.ci95 is not None
        return found.ci95

    few, many = interval(60), interval(600)
    assert few[0] < 0.5 < few[1]
    assert many[0] < 0.5 < many[1]
    assert many[1] - many[0] < few[1] - few[0]


def test_too_few_steps_have_no_interval() -> None:
    """The ratio stands all the same."""
    found = rate_ratio(measured(SECOND, MIN_STEPS - 1), measured(SECOND))
    assert found is not None
    assert (found.ratio, found.ci95) == (1.0, None)
    nothing = StepTimes(samples=np.zeros(40, np.int64), step_ns=np.zeros(40, np.int64))
    assert rate_ratio_ci95(nothing, measured(SECOND).steps) is None


@given(st.integers(0, 100), st.integers(1, 100), st.integers(0, 100), st.integers(1, 100))
def test_overlap_is_a_share_and_symmetric_in_length(a_start: int, a_len: int, b_start: int, b_len: int) -> None:
    """The part that both were measuring is equally long for both."""
    a = measured(a_len * SECOND, 1, start_ns=a_start * SECOND)
    b = measured(b_len * SECOND, 1, start_ns=b_start * SECOND)
    of_a, of_b = overlap_ratio(a, [b]), overlap_ratio(b, [a])
    assert 0.0 <= of_a <= 1.0
    assert of_a * a_len == pytest.approx(of_b * b_len)
    assert overlap_ratio(a, [a]) == 1.0


def test_the_slowed_one_is_told_from_the_other() -> None:
    """One halves the other's rate: b halves a, and a does nothing to b."""
    phases, steps = two_pipelines(0.5)
    of_a, of_b = interference_of(phases, steps)
    assert (of_a.pipeline, of_a.beside, of_a.samples_per_s_ratio) == ("a", ["b"], pytest.approx(0.5))
    assert (of_b.pipeline, of_b.samples_per_s_ratio) == ("b", pytest.approx(1.0))
    told = sentence_of([of_a, of_b], 2)
    assert told is not None
    assert told.startswith("Of the samples/s that each has alone, together a keeps 50 % (95 % CI 50 - 50); b keeps 100")


def test_pipelines_that_do_not_meet_in_the_store_are_said_to() -> None:
    """Nothing is slowed by more than a twentieth."""
    phases, steps = two_pipelines(0.99)
    assert "hardly disturb each other" in str(sentence_of(interference_of(phases, steps), 2))


def test_of_three_the_worst_neighbour_is_named() -> None:
    """From the pairs, which is what they are measured for."""
    steps = {(f"alone-{name}", name): measured(SECOND) for name in "abc"}
    phases = [phase(f"alone-{name}", run(name, figures(10))) for name in "abc"]
    for name, slow in (("together", 4), ("pair-a-b", 1), ("pair-a-c", 3), ("pair-b-c", 1)):
        members = "abc" if name == "together" else name.removeprefix("pair-").replace("-", "")
        phases.append(phase(name, *(run(one, figures(10), 1.0) for one in members)))
        steps |= {(name, one): measured(SECOND * (slow if one == "a" else 1)) for one in members}
    found = interference_of(phases, steps)
    assert len(found) == 3 + 2 * 3
    assert str(sentence_of(found, 3)).endswith("What slows a most is c: beside it alone it keeps 33 %.")


def test_an_incomplete_phase_has_no_ratios_but_a_reason() -> None:
    """A pipeline that was cut short would look slowed."""
    phases, steps = two_pipelines(0.5)
    phases[2] = phases[2].model_copy(update={"outcome": "failed", "reason": "pipeline b failed"})
    assert [(one.samples_per_s_ratio, one.reason) for one in interference_of(phases, steps)] == [
        (None, "pipeline b failed"),
        (None, "pipeline b failed"),
    ]
    assert sentence_of(interference_of(phases, steps), 2) is None


def test_caveats_name_a_full_cpu_and_pipelines_that_hardly_met() -> None:
    """Slowness of the host must not pass as the store's."""
    phases, _ = two_pipelines(0.5, cpu=0.97)
    told = caveats_of(phases, {})
    assert any("CPUs were up to 97.0 % busy" in one for one in told) and len(told) == 1
    phases[2].runs[1] = run("b", figures(50), 0.4)
    assert any("only 40.0 % of b's measured time lay beside" in one for one in caveats_of(phases, {}))
    phases[2].runs[1] = phases[2].runs[1].model_copy(update={"paused_s": 4.0})
    assert any("b stood still for 4.0 s of 10.0 s" in one for one in caveats_of(phases, {}))


def test_a_report_fits_its_width_and_shows_the_matrix() -> None:
    """Who keeps how much beside whom, in percent with the interval."""
    phases, steps = two_pipelines(0.5)
    found = interference_of(phases, steps)
    pipelines = [
        PipelineRecord(name=name, workload="small-files", loader="torch-map", accelerator="h100", batch_size=10)
        for name in "ab"
    ]
    record = MixedRecord(
        ioprof_version="1", outcome="complete", started_utc="x", command=[], label=None, store="./s", duration_s=10,
        pipelines=pipelines, phases=phases, interference=found, sentence=sentence_of(found, 2),
    )  # fmt: skip
    lines = [line.plain for line in render_mixed(record, 80)]
    assert max(map(len, lines)) <= 80
    row = next(line.split("  ") for line in lines if line.startswith("  a  "))
    assert row[-1].strip() == "50.0 % (50 - 50)"
    assert any(line.split()[:3] == ["together:", "a", "50"] for line in lines)


def test_a_pipeline_that_is_faster_beside_others_is_not_believed() -> None:
    """No neighbour makes it faster: its run alone was disturbed; one within the noise is left alone."""
    phases, steps = two_pipelines(2.0)
    found = interference_of(phases, steps)
    assert [told.split(":")[0] for told in faster_caveats(found)] == ["a was faster beside others than alone"]
    told = str(sentence_of(found, 2))
    assert "a keeps" not in told
    steps["alone-b", "b"] = measured(3 * SECOND)
    assert "Nothing can be said of who slows whom" in str(sentence_of(interference_of(phases, steps), 2))
    phases, steps = two_pipelines(1.05)
    assert faster_caveats(interference_of(phases, steps)) == []
