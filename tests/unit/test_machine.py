"""Whether the machine was the same throughout a run: what of it is told, and what is not worth telling."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest
from trace_builder import MS, S, make_trace, run_record, step_row, table

from ioprof.analysis.machine import machine_changes
from ioprof.host.speed import measured_speed
from ioprof.trace import schema
from ioprof.trace.run_record import CalibrationRecord
from ioprof.trace.trace import Trace

STEPS = [step_row(k, k * 100 * MS, k * 100 * MS + 5 * MS, (k + 1) * 100 * MS) for k in range(100)]
"""Ten seconds."""


def on_a_machine(calibration: CalibrationRecord | None, *, used_s: float = 5.0, stolen_s: float = 0.0) -> Trace:
    """Return a run of ten seconds on two CPUs, of which it used so many CPU seconds."""
    series = {("tree_cpu_s_total", ""): used_s, ("cpu_steal_s_total", ""): stolen_s}
    series |= {("core_busy_s_total", f"cpu{core}"): 1.0 for core in range(2)}
    rows: list[dict[str, object]] = [
        {"time_ns": second * S, "metric": metric, "device": device, "value": 100 + total * second / 10}
        for (metric, device), total in series.items()
        for second in range(11)
    ]
    return make_trace(run_record(calibration=calibration), steps=STEPS, host=table(schema.HOST, rows))


def timed(before_ns: int, after_ns: int, *, typical_ns: int | None = None) -> CalibrationRecord:
    """Return both ends; the faster one's loops are as fast as its fastest round, or as said."""
    return CalibrationRecord(
        before_ns=before_ns,
        after_ns=after_ns,
        before_typical_ns=before_ns if typical_ns is None or after_ns < before_ns else typical_ns,
        after_typical_ns=after_ns if typical_ns is None or after_ns > before_ns else typical_ns,
        before_waited_ratio=0.0,
        after_waited_ratio=0.25,
    )


@pytest.mark.parametrize(("before_ns", "after_ns", "word"), [(100, 150, "slower"), (150, 100, "faster")])
def test_a_change_is_told_with_what_it_can_have_moved(before_ns: int, after_ns: int, word: str) -> None:
    """Half a CPU was used: half of a third is a sixth of the run."""
    assert list(machine_changes(on_a_machine(timed(before_ns, after_ns)))) == [
        f"This machine changed: one CPU was 1.5 times {word} after the run than before it (it was taken away for 0.0 % "
        "of the time before, 25 % after), so its clock rate changed or other work came or went. The run kept 0.5 CPUs "
        "busy: its rates may be off by up to 17 %. Run again, with nothing else at work."
    ]


@pytest.mark.parametrize("pair", [(100, 170), (170, 100)])
def test_a_speed_that_comes_and_goes_at_one_end_is_no_change(pair: tuple[int, int]) -> None:
    """The faster end was mostly as slow as the other."""
    assert list(machine_changes(on_a_machine(timed(*pair, typical_ns=165)))) == []


def test_a_run_that_hardly_computes_is_not_moved_by_it() -> None:
    """A twentieth of a CPU at 1.7 times is 2 %."""
    assert list(machine_changes(on_a_machine(timed(100, 170), used_s=0.5))) == []


@pytest.mark.parametrize("throttled_ns", [None, 100 * MS, 900 * MS])
def test_a_quota_that_held_the_run_back_is_told(throttled_ns: int | None) -> None:
    """Nine hundred milliseconds in ten seconds are, a hundred are not worth it, and no quota tells nothing."""
    calibration = timed(100, 100).model_copy(update={"throttled_ns": throttled_ns})
    told = list(machine_changes(on_a_machine(calibration)))
    assert [one[:90] for one in told] == (
        ["The CPU quota of this control group stood the run's processes still for 900 ms in a run of"]
        if throttled_ns == 900 * MS
        else []
    )


@pytest.mark.parametrize(("stolen_s", "share"), [(0.8, None), (2.0, "10.0 %")])
def test_stolen_time_is_told_as_a_share_of_all_cpus(stolen_s: float, share: str | None) -> None:
    """Two CPU seconds of the twenty there were; also where the CPU was not timed."""
    told = list(machine_changes(on_a_machine(None, stolen_s=stolen_s)))
    assert [f"The hypervisor gave {share} of this machine's" in one for one in told] == [True] * (share is not None)


def test_the_best_round_and_the_typical_loop_are_told_apart() -> None:
    """One loop of five found a free CPU; half of the time went to others."""
    lengths = np.full((5, 10), 170)
    lengths[3] = 100
    rounds = iter(lengths.ravel().tolist())
    stamps, now = count(), [0]

    def clock() -> int:
        # Each loop reads it once before its rounds, twice in each of them, and once after.
        position = next(stamps) % 22
        if position and position % 2 == 0:
            now[0] += next(rounds)
        return now[0]

    rests = list[float]()
    found = measured_speed(clock, lambda: now[0] // 2, rests.append)
    assert (found.best_ns, found.typical_ns, len(rests)) == (100, 170, 4)
    assert found.waited_ratio == pytest.approx(0.5, abs=0.01)
