"""What would help: cures are tried on the run's own model, ranked by what they bring, free ones first among equals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from trace_builder import MS, Pipeline, make_trace, operation_row, run_record

from ioprof.analysis.cure_list import Situation
from ioprof.analysis.findings import Cured, cured
from ioprof.analysis.operations import totals_by_kind
from ioprof.analysis.pipeline.basis import Setting
from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.model import Prediction
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import Summary
from ioprof.errors import RunError
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.trace import Trace

KNOBS = {"name": "torch-map", "workers": 2, "prefetch": 2, "batch_size": 64, "in_order": True}
SETTING = Setting(
    workers=2, prefetch=2, batch_size=64, in_order=True, pin=False, cores=2.0, ranks_per_host=1, hosts=1
)  # fmt: skip


class Oracle:
    """A model that is told what each change brings, as a ratio; the interval is 5 % either way."""

    def __init__(self, gain: Callable[[Change], float], now: float = 1000.0, most_workers: int = 99) -> None:
        self.asked: list[Change] = []
        self._gain, self._now, self._most_workers = gain, now, most_workers

    def predict(self, change: Change, most_events: int) -> Prediction:
        """Return the told rate."""
        assert most_events > 0
        self.asked.append(change)
        rate = self._now * self._gain(change)
        return Prediction(
            samples_per_s=rate, samples_per_s_ci95=(rate * 0.95, rate * 1.05), accelerator_utilization=rate / 4000,
            accelerator_utilization_ci95=None, idle_s_per_step=0.1, busy_s_per_step=0.1, steps=100, setting=SETTING,
            assumptions=(), outside=("unknown land",) if (change.workers or 0) > self._most_workers else (),
        )  # fmt: skip


def situation(**changes: object) -> Situation:
    """Return a run of 64 samples with an open, a read and a close each, on a local disk."""
    record = run_record(spec={"loader": KNOBS, "store": {"url": "/mnt"}, "workload": {"name": "small-files"}})
    operations = [operation_row(kind, [MS] * 64, size=4096) for kind in (Kind.OPEN, Kind.READ, Kind.CLOSE)]
    totals = totals_by_kind(make_trace(record, operations=operations).operations, (Phase.STEADY,))
    plain = Situation(
        run=record, setting=SETTING, totals=totals, samples=64, batch_bytes=64 * 4096.0, no_workers_per_s=None,
        delivered_per_s=1000.0, client_hit_ratio=0.0, tracing_share=0.01, idle_by_cause={},
    )  # fmt: skip
    return replace(plain, **changes)  # type: ignore[arg-type]


def only(**gains: float) -> Callable[[Change], float]:
    """Return a gain for changes of one field, and none for all others."""
    return lambda change: max((gain for name, gain in gains.items() if getattr(change, name)), default=1.0)


def ids(found: Cured) -> list[str]:
    """Return the findings in their order."""
    assert found.findings is not None
    return [one.id for one in found.findings]


def test_what_brings_most_is_first() -> None:
    """Whatever it costs."""
    found = cured(Oracle(only(store_latency_factor=2.0, client_hit_ratio=3.0, prefetch=1.3)), situation())
    assert ids(found) == ["page-cache", "store-latency", "more-prefetch"]
    assert [one.severity for one in found.findings or ()] == ["high", "high", "medium"]


def test_among_equals_the_cheapest_is_first() -> None:
    """What lies inside the interval of the best brings the same, as far as anybody knows."""
    found = cured(Oracle(only(store_latency_factor=2.0, client_hit_ratio=1.97, prefetch=1.95)), situation())
    assert ids(found) == ["more-prefetch", "page-cache", "store-latency"]


def test_what_the_interval_cannot_show_is_not_offered() -> None:
    """4 % more, known to 5 %, may be nothing."""
    assert ids(cured(Oracle(only(prefetch=1.04)), situation())) == []
    assert ids(cured(Oracle(only(prefetch=1.06)), situation())) == ["more-prefetch"]


def test_no_more_workers_are_asked_for_than_bring_something() -> None:
    """Eight bring hardly more than four: four are the cure, and the climb ends soon after."""
    oracle = Oracle(lambda change: {1: 0.5, 2: 1.0, 3: 1.4, 4: 1.97}.get(change.workers or 2, 2.0))
    found = cured(oracle, situation())
    first = (found.findings or ())[0]
    assert (first.id, first.action) == ("more-workers", "4 workers instead of 2")
    assert first.command == "ioprof run small-files --workers 4"
    assert max(change.workers or 0 for change in oracle.asked) <= 16


@pytest.mark.parametrize(("measured", "offered"), [(99, 8), (5, 4), (2, 4)])
def test_workers_are_not_offered_far_beyond_what_was_measured(measured: int, offered: int) -> None:
    """A store that was never asked by more is not known to serve them: twice the workers is as far as that goes."""
    found = cured(Oracle(lambda change: (change.workers or 2) / 2, most_workers=measured), situation())
    first = next(one for one in found.findings or () if one.id == "more-workers")
    probed = cured(Oracle(lambda change: (change.workers or 2) / 2, most_workers=2), situation(most_probed=8))
    assert any(one.action == "8 workers instead of 2" and one.outside for one in probed.findings or ())
    assert first.action == f"{offered} workers instead of 2"
    assert bool(first.outside) == (offered > measured)


def test_batches_ahead_never_fill_the_memory() -> None:
    """Where not even one more fits, none is offered; a good part of it makes the cure one that costs memory."""
    run = situation().run
    small, larger = (run.model_copy(update={"host": {"dev_shm_free_bytes": size << 20}}) for size in (2, 10))

    def gain(change: Change) -> float:
        return 2.0 if (change.workers or 2) > 2 else 1.0

    assert ids(cured(Oracle(gain), situation(run=small))) == ["more-cores"]
    costs = {one.id: one.cost for one in cured(Oracle(gain), situation(run=larger)).findings or ()}
    assert costs["more-workers"] == "more memory"


def test_flags_that_help_only_together_are_offered_together() -> None:
    """As one command."""

    def gain(change: Change) -> float:
        more = (change.workers or 2) > 2
        return 3.0 if more and change.prefetch else 1.5 if more or change.prefetch else 1.0

    first = (cured(Oracle(gain), situation()).findings or ())[0]
    assert first.id == "flags-together"
    assert first.command == "ioprof run small-files --workers 3 --prefetch 4"


@pytest.mark.parametrize(
    ("changes", "cure"),
    [
        ({"client_hit_ratio": 0.99}, "page-cache"),
        ({"client_hit_ratio": None}, "page-cache"),
        ({"samples": 6400}, "larger-objects"),
        ({"totals": []}, "store-latency"),
        ({}, "cheaper-preparation"),
        ({}, "less-tracing"),
        ({}, "faster-link"),
        ({"setting": replace(SETTING, in_order=False)}, "out-of-order"),
        ({"setting": replace(SETTING, workers=1)}, "out-of-order"),
    ],
)
def test_a_cure_for_what_a_run_has_not_is_not_tried(changes: dict[str, object], cure: str) -> None:
    """Nothing to cache, no opens to spare, nothing read, decoded, traced at length or copied, no order kept."""
    assert cure not in cured(Oracle(lambda _: 1.0), situation(**changes)).gains


def test_a_throttled_store_is_not_cured_by_the_page_cache() -> None:
    """Its operations are slowed wherever they are served from."""
    run = situation().run.model_copy(update={"store": {"filesystem": "ext4", "throttle": "latency=2ms"}})
    assert "page-cache" not in cured(Oracle(lambda _: 1.0), situation(run=run)).gains


def test_a_model_that_does_not_give_the_run_itself_is_not_asked_for_more() -> None:
    """The reason has both rates."""
    found = cured(Oracle(lambda _: 1.0, now=1600.0), situation())
    assert found.findings is None
    assert "1,600 samples/s where it delivered 1,000" in (found.reason or "")


def test_intervals_hold_what_the_replay_of_the_run_itself_is_off() -> None:
    """30 % too much as it was: the same may be true of a prediction, and a gain of 25 % may be none."""
    found = cured(Oracle(only(store_latency_factor=2.0, prefetch=1.25), now=1300.0), situation())
    assert ids(found) == ["store-latency"]
    first = (found.findings or ())[0]
    assert first.predicted_samples_per_s_ci95 == pytest.approx((2600 * 0.95 / 1.3, 2600 * 1.05))
    assert any("1.30 x what it did" in told for told in first.assumptions)


def test_at_the_stores_own_limit_no_flag_is_tried() -> None:
    """It gives no more, however many ask and however soon."""
    tried = set(cured(Oracle(lambda _: 1.0), situation(is_at_store_limit=True)).gains)
    assert {"store-iops", "larger-objects", "page-cache"} <= tried
    assert not tried & {"more-workers", "more-prefetch", "out-of-order", "store-latency", "more-cores"}


def test_what_the_model_refuses_is_left_out_and_the_rest_is_offered() -> None:
    """A question that a run cannot answer is no defect of the run."""

    def gain(change: Change) -> float:
        if change.client_hit_ratio is not None:
            raise RunError("not known")
        return 2.0 if change.store_latency_factor else 1.0

    assert ids(cured(Oracle(gain), situation())) == ["store-latency"]


def waiting(*, workers: int = 2, compute: int = 10 * MS, jitter: bool = False) -> Trace:
    """Return a run of workers that wait for opens and reads, in turn or by chance."""
    count = 200
    took = np.random.default_rng(2).lognormal(0, 1.0, count) if jitter else np.ones(count)
    pipeline = Pipeline(
        fetch=[int(one * 38 * MS) for one in took], prep=[MS] * count, compute=[compute] * count, workers=workers
    )
    spec = {"loader": KNOBS | {"workers": workers}, "store": {"url": "/mnt"}, "workload": {"name": "small-files"}}
    trace = pipeline.trace(warmup_steps=4, spec=spec, host={"affinity_cores": 8})
    rows = [operation_row(kind, [300_000] * 12544, size=4096) for kind in (Kind.OPEN, Kind.READ)]
    return replace(trace, operations=make_trace(trace.run, operations=rows).operations)


def found_in(trace: Trace) -> Summary:
    """Return the whole analysis."""
    return summarise(trace)


def test_a_run_short_of_workers_is_told_how_many_feed_it() -> None:
    """39 ms of work for every 10 ms: four workers or a few more."""
    found = found_in(waiting()).findings
    assert found
    assert found[0].id == "more-workers"
    assert found[0].command in {f"ioprof run small-files --workers {count}" for count in (4, 8)}
    assert (found[0].predicted_accelerator_utilization or 0.0) > 0.9


def test_a_fed_run_is_offered_nothing() -> None:
    """One sentence, an empty list, and no reason."""
    summary = found_in(waiting(compute=50 * MS))
    assert summary.findings == ()
    assert summary.verdict.sentence.endswith("nothing to change.")
    assert "findings" not in summary.reasons


def test_prefetch_is_offered_where_batches_differ() -> None:
    """Slow batches hold up fast ones: what lies ahead makes up for it, order given up does too."""
    found = found_in(waiting(workers=6, jitter=True)).findings
    assert found
    assert {"more-prefetch", "out-of-order"} & {one.id for one in found}


def test_stages_are_known_by_the_model_that_cures_speak_of() -> None:
    """Half the name operations of a run that opens as long as it reads are half of its storage time."""
    gains = {one.id: one.evidence["gain_ratio"] for one in found_in(waiting()).findings or ()}
    assert Stage.OPEN.key == "open"
    assert float(gains["larger-objects"]) == pytest.approx(2.0, rel=0.15)


def test_what_might_help_is_told_where_nothing_does_for_certain() -> None:
    """A short run: `ioprof predict` would show the same gain, so the report must not say that there is none."""
    found = cured(Oracle(only(prefetch=1.04)), situation())
    assert (found.findings, "batches ahead" in str(found.undecided)) == ((), True)
    assert "1.04 x as much (" in str(found.undecided)
    assert cured(Oracle(lambda _: 1.0), situation()).undecided is None


def test_a_real_stores_cure_names_a_command_that_runs(tmp_path: Path) -> None:
    """No address makes a filer twice as fast: the run's own directory predicts it, with nothing to fill in."""
    own = situation(run=situation().run.model_copy(update={"spec": {"store": {"url": "/mnt/nas"}}}), directory=tmp_path)
    (first,) = cured(Oracle(only(store_latency_factor=2.0)), own).findings or ()
    assert first.command == f"ioprof predict {tmp_path} --store-latency x0.5"
