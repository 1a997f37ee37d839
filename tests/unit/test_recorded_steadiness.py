"""What a real run keeps of its own steadiness: the CPU's speed at both ends, and a warm-up that was left to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from ioprof.loaders.null import NullSession

from ioprof.analysis.measured import finds_warmup
from ioprof.analysis.summarise import summarise
from ioprof.api import spec_of
from ioprof.contract import Batch
from ioprof.errors import RunError
from ioprof.runner.gate import Gate
from ioprof.runner.observer import Silent
from ioprof.runner.plan import plan_run
from ioprof.runner.record import Recording
from ioprof.trace.reader import load_trace
from ioprof.trace.trace import Trace

pytestmark = pytest.mark.usefixtures("nothing_left")


def _recording(folder: Path, gate: Gate | None = None) -> Recording:
    spec = spec_of(
        {
            "workload": {"name": "small-files", "files": 64},
            "store": {"url": str(folder / "store")},
            "loader": {"name": "null", "batch_size": 8},
            "accelerator": {"name": "none"},
            "run": {"results": str(folder / "results"), "epochs": 1, "warmup": "auto"},
        }
    )
    return Recording(plan_run(spec), None, ["test"], Silent(), gate=gate)


def _trace(recording: Recording) -> Trace:
    recording.run()
    return load_trace(recording.directory)


def test_a_run_keeps_the_speed_of_the_cpu_at_both_ends(tmp_path: Path) -> None:
    """Ten thousand additions take more than a microsecond and less than a second on any machine."""
    trace = _trace(_recording(tmp_path))
    timed = trace.run.calibration
    assert timed is not None
    assert timed.after_ns is not None
    assert min(timed.before_ns, timed.after_ns) > 1_000
    assert max(timed.before_ns, timed.after_ns) < 10**9
    steady = summarise(trace).steady
    assert steady is not None
    assert steady.speed_ratio == timed.before_ns / timed.after_ns


def test_a_run_that_fails_has_no_speed_at_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ended it is not held up by another measurement."""

    def failing(session: NullSession, epoch: int) -> Iterator[Batch]:
        raise RunError("no such loader")

    monkeypatch.setattr(NullSession, "batches", failing)
    recording = _recording(tmp_path)
    with pytest.raises(RunError, match="no such loader"):
        recording.run()
    timed = load_trace(recording.directory).run.calibration
    assert timed is not None
    assert timed.after_ns is None


def test_a_pipeline_beside_others_is_not_timed(tmp_path: Path) -> None:
    """At either end the CPU is shared with them, or no longer: that says nothing of the machine."""
    assert _trace(_recording(tmp_path, gate=lambda: None)).run.calibration is None


def test_a_warmup_left_to_the_run_drops_five_steps_of_a_short_one(tmp_path: Path) -> None:
    """Eight steps tell nothing of a start-up; what was asked for is kept."""
    trace = _trace(_recording(tmp_path))
    assert (finds_warmup(trace.run), trace.run.warmup_steps) == (True, 5)
    summary = summarise(trace)
    assert (summary.warmup_steps, summary.steps) == (5, 3)
