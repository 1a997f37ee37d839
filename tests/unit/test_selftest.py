"""The self-test's own truth: what a pipeline must give, how an error is judged, and a case through the real runner."""

from __future__ import annotations

import json
import multiprocessing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof import api
from ioprof.cli.selftest import conclusion, to_json
from ioprof.host.other_load import OtherLoad
from ioprof.selftest.cases import MS, Case, Loader, cases
from ioprof.selftest.expected import expected_utilization
from ioprof.selftest.judge import alone_per_s, decode_took_ns
from ioprof.selftest.plain import Held, OwnCosts, own_costs
from ioprof.selftest.row import Row
from ioprof.selftest.suite import Finished, disturbance
from ioprof.spec.sources import Value
from ioprof.trace import schema
from tests.unit.trace_builder import table

CASE = Case(name="one", workers=2, steps=6)


@given(
    workers=st.integers(1, 8), batch_ms=st.integers(1, 200), compute_ms=st.integers(1, 100), cycles=st.integers(2, 6)
)
def test_equal_batches_give_the_closed_form(workers: int, batch_ms: int, compute_ms: int, cycles: int) -> None:
    """Over whole rounds of the workers: bound by the slower of accelerator and workers, whatever the prefetch."""
    found = expected_utilization(
        lambda worker, number: batch_ms, workers=workers, prefetch=2, compute_ns=compute_ms,
        steps=workers * (4 + cycles), warmup=workers * 4,
    )  # fmt: skip
    if batch_ms >= workers * compute_ms:
        assert found == pytest.approx(workers * compute_ms / batch_ms)
    elif batch_ms <= compute_ms:
        assert found == pytest.approx(1.0)


def test_a_slow_batch_is_waited_for_in_order_and_hidden_by_what_was_made_ahead() -> None:
    """One batch of 10 among batches of 1, two workers, steps of 1: begun four steps ahead, it costs six steps' time."""
    made = {(0, 5): 10.0}
    found = expected_utilization(
        lambda worker, number: made.get((worker, number), 1.0),
        workers=2, prefetch=2, compute_ns=1.0, steps=24, warmup=4,
    )  # fmt: skip
    assert found == pytest.approx(20 / (20 + 6))


@pytest.mark.parametrize(("batch_ms", "asked"), [(40, 20 / 25), (4, 10 / 11)])
def test_a_loaders_own_costs_are_part_of_the_truth(batch_ms: int, asked: float) -> None:
    """Two workers, steps of 10: bound by the store, a batch takes 8 + 2 more; bound by compute, unwrapping shows."""
    compute_ms, own = (20, OwnCosts(batch_ns=8, gap_ns=2)) if batch_ms == 40 else (10, OwnCosts(unwrap_ns=1))
    found = expected_utilization(
        lambda worker, number: batch_ms, workers=2, prefetch=2, compute_ns=compute_ms, steps=24, warmup=8, own=own
    )
    assert found == pytest.approx(asked)


@pytest.mark.parametrize("loader", ["processes", "torch-map"])
def test_a_plain_program_tells_what_its_loader_costs(loader: Loader, tmp_path: Path) -> None:
    """Of real files, through real worker processes; what is held of an operation is no cost of the loader."""
    files = [tmp_path / str(number) for number in range(4)]
    for file in files:
        file.write_bytes(bytes(4096))
    held = Held(open_ns=0, read_ns=5 * MS)
    found = own_costs(loader, [[str(file) for file in files[:2]], [str(file) for file in files[2:]]], held, MS)
    assert min(found.batch_ns, found.gap_ns, found.handover_ns, found.unwrap_ns) > 0
    assert found.batch_ns < 2 * held.read_ns
    assert not multiprocessing.active_children()


ROW = Row(case="c", figure="f", unit="ns", asked=100.0, given=None, measured=102.0, limit=0.03)


def _row(given: float | None = None, measured: float | None = 102.0) -> Row:
    return replace(ROW, given=given, measured=measured, decided_by=None if given is None else "throttle")


def test_an_error_is_against_what_was_given_where_that_is_known() -> None:
    """Relative for times and rates, a difference for ratios; no figure is a failure."""
    assert (_row().error, _row().passed) == (pytest.approx(0.02), True)
    assert _row(given=110.0).error == pytest.approx(102 / 110 - 1)
    assert (_row(given=110.0).passed, _row(given=110.0).strayed) == (False, pytest.approx(0.1))
    share = replace(ROW, unit="ratio", asked=0.5, given=0.49, measured=0.47, limit=0.01)
    assert (share.error, share.passed) == (pytest.approx(-0.02), False)
    assert (_row(measured=None).error, _row(measured=None).passed) == (None, False)


def test_the_conclusion_counts_failures_and_says_what_disturbed_them() -> None:
    """By the CPU that others used, and by how far the throttle missed its own word."""
    quiet, busy = (OtherLoad(cores=cores, steal_cores=0, busiest=("other (pid 7) 1.50",)) for cores in (0.05, 1.5))
    good = Finished(case=CASE, rows=[_row(), _row(given=101.0)], load=quiet)
    bad = Finished(case=CASE, rows=[_row(given=110.0)], load=busy)
    assert conclusion([good]) == "2 of 2 figures are within their limits."
    assert conclusion([good, bad]) == (
        "2 of 3 figures are within their limits. This host was not quiet: others used up to 1.5 CPUs (other (pid 7) "
        "1.50); the throttle could not keep its word by up to 10 %. Errors may be the host's."
    )
    told = json.loads(to_json([good, bad]))
    assert (told["passed"], len(told["rows"]), told["rows"][2]["passed"]) == (False, 3, False)


def test_slow_decoding_is_not_the_throttles_fault() -> None:
    """What follows from several is charged to none of them."""
    decode = replace(ROW, figure="decode mean", given=108.0, measured=108.0, decided_by="cpu")
    use = replace(ROW, figure="utilisation", unit="ratio", asked=0.5, given=0.4, measured=0.4)
    assert disturbance([Finished(case=CASE, rows=[decode, use], load=None)]) == (
        "This host was not quiet: decoding, which the CPU's speed decides, took up to 8 % more or less than asked for. "
        "Errors may be the host's."
    )
    assert disturbance([Finished(case=CASE, rows=[use], load=None)]) is None


@pytest.mark.parametrize("quick", [True, False])
def test_every_case_is_a_run_that_can_be_made(quick: bool, tmp_path: Path) -> None:
    """Each with a name of its own, a throttle, and files enough for its steps."""
    wanted = cases(quick=quick)
    assert len({case.name for case in wanted}) == len(wanted)
    for case in wanted:
        sections: dict[str, dict[str, Value]] = case.sections(tmp_path)
        spec = api.spec_of(sections)
        assert spec.run.steps == case.steps + case.warmup
        assert int(str(sections["workload"]["files"])) >= case.batch_size * (case.steps + case.warmup)
        assert "throttle+" in spec.store.url


def test_one_worker_alone_leaves_the_device_idle_between_its_reads() -> None:
    """A megabyte at 50 MB/s takes 20 ms; with 1 ms of its own for each, it reads 47.6 a second, not 50."""
    alone = replace(CASE, workers=1, batch_size=1, file_bytes=1_000_000, bandwidth_bytes_per_s=50_000_000)
    assert alone.held_read_ns == 20 * MS
    assert alone_per_s(alone, OwnCosts(batch_ns=0.8 * MS, gap_ns=0.2 * MS)) == pytest.approx(1e3 / 21)
    assert alone_per_s(replace(alone, workers=2), OwnCosts(batch_ns=MS)) is None


@pytest.mark.parametrize(
    ("measured_ms", "took_ms"),
    [(2.0, 2.0), (2.6, 2.5), (1.5, 2.0), (2.3, 2.3)],
    ids=["alone", "over", "under", "shared"],
)
def test_decoding_is_held_against_the_cpu_and_what_was_waited_for_one(measured_ms: float, took_ms: float) -> None:
    """Two milliseconds on a CPU a sample, and half a millisecond waited for one: in between nobody knows better."""
    case = replace(CASE, batch_size=4, decode_ns=2 * MS, steps=2)
    rows = [
        {"batch": case.warmup + number, "fetch_on_cpu_ns": 9 * MS, "fetch_run_queue_ns": 2 * MS} for number in range(2)
    ]
    batches = table(schema.BATCHES, [*rows, {"batch": 0, "fetch_on_cpu_ns": 90 * MS}])
    assert decode_took_ns(case, batches, OwnCosts(on_cpu_ns=MS), measured_ms * MS) == pytest.approx(took_ms * MS)
