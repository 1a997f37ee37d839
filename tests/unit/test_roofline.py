"""The data roofline: what each part would allow alone, which part is lowest, and what is not known."""

from __future__ import annotations

from dataclasses import replace

import pytest
from probe_levels import probe_level, probe_record
from trace_builder import MS, Pipeline

from ioprof.analysis.reasons import Reasons
from ioprof.analysis.roofline import roofline
from ioprof.analysis.roofs import Roofline, RoofName
from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import Baselines, CpuTime
from ioprof.probe.climb import ceiling_of, climb
from ioprof.report.roofline import roofline_lines
from ioprof.trace.probe_record import LevelRecord, ProbeRecord
from ioprof.trace.trace import Trace

MEASURED = CpuTime(on_cpu_s=0.8, run_queue_s=0.0, blocked_s=0.0, utilization=None)
UNMEASURED = CpuTime(on_cpu_s=None, run_queue_s=None, blocked_s=None, utilization=None)


def trace(probe: ProbeRecord | None = None, *, workers: int = 2) -> Trace:
    """Return a run of 10 batches of 64 samples, two of them warm-up, on two CPUs."""
    pipeline = Pipeline(fetch=[8 * MS] * 10, prep=[0] * 10, compute=[10 * MS] * 10)
    found = pipeline.trace(warmup_steps=2, spec={"loader": {"workers": workers}}, host={"affinity_cores": 2})
    return replace(found, probe=probe)


def probed(*levels: LevelRecord, cache: str = "cold") -> ProbeRecord:
    """Return a probe that climbed over some levels."""
    given = iter(levels)
    climbed = climb(lambda _: next(given, None), first=levels[0].processes, most=levels[-1].processes)
    return probe_record(list(levels)).model_copy(update={"cache": cache, "ceiling": ceiling_of(climbed)})


def roofs(
    of: Trace,
    *,
    delivered: float | None = 400.0,
    demand: float | None = 1800.0,
    transport: float | None = 9000.0,
    cpu: CpuTime = MEASURED,
    hits: float | None = 0.0,
) -> tuple[Roofline | None, Reasons]:
    """Return the roofline of a run, and the reasons of its nulls."""
    reasons = Reasons()
    taken_out = Baselines(no_workers_samples_per_s=None, transport_samples_per_s=transport)
    found = roofline(
        of, delivered_per_s=delivered, demand_per_s=demand, cpu=cpu, baselines=taken_out,
        client_hit_ratio=hits, reasons=reasons,
    )  # fmt: skip
    return found, reasons


def known(of: Trace, **changes: object) -> Roofline:
    """Return the roofline of a run that has one."""
    found, _ = roofs(of, **changes)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_a_run_that_gets_what_as_many_plain_processes_get_is_held_by_that() -> None:
    """The next roof says what more workers can bring at most."""
    found = known(trace(probed(probe_level(2, 420.0), probe_level(4, 840.0))))
    assert (found.lowest, found.binds, found.next) == ("store_at_workers", "store_at_workers", "store_cold")
    assert found.next_ratio == pytest.approx(2.0)
    assert found.roofs["store_cold"].samples_per_s == 840.0


def test_a_run_far_below_every_roof_is_held_by_none() -> None:
    """Then it is how the parts work together, and the reason says how far below it is."""
    found, reasons = roofs(trace(probed(probe_level(2, 1000.0))))
    assert found is not None
    assert (found.lowest, found.binds) == ("store_at_workers", None)
    assert "40.0 % of its lowest roof" in reasons.by_key["roofline.binds"]


@pytest.mark.parametrize(("workers", "rate"), [(2, 1280.0), (0, 640.0)])
def test_the_cpus_do_nothing_but_what_the_workers_did_on_theirs(workers: int, rate: float) -> None:
    """512 samples cost 0.8 s: two CPUs make 1,280 in a second, the consumer alone, which has one, half of that."""
    assert known(trace(workers=workers)).roofs["cpu"].samples_per_s == pytest.approx(rate)


@pytest.mark.parametrize(
    ("cache", "hits", "which", "other"),
    [
        ("cold", 0.0, "store_cold", "store_warm"),
        ("warm", 1.0, "store_warm", "store_cold"),
        ("asis", 1.0, "store_warm", "store_cold"),
        ("cold", None, "store_cold", "store_warm"),
    ],
)
def test_only_the_cache_state_that_was_probed_has_a_ceiling(
    cache: str, hits: float | None, which: RoofName, other: RoofName
) -> None:
    """The other is unknown, and the reason says how to measure it."""
    found, reasons = roofs(trace(probed(probe_level(2, 5000.0, client_hit_ratio=hits), cache=cache)), hits=hits)
    assert found is not None
    assert found.roofs[which].samples_per_s == 5000.0
    assert found.roofs[other].samples_per_s is None
    assert f"--cache {other.removeprefix('store_')}" in reasons.by_key[f"roofline.roofs.{other}.samples_per_s"]


def test_a_cache_that_was_half_full_is_neither_cold_nor_warm() -> None:
    """Its ceiling mixes memory and store."""
    found, reasons = roofs(trace(probed(probe_level(2, 5000.0, client_hit_ratio=0.5), cache="asis")), hits=0.5)
    assert found is not None
    assert found.roofs["store_cold"].samples_per_s is found.roofs["store_warm"].samples_per_s is None
    assert "50.0 % out of the page cache" in reasons.by_key["roofline.roofs.store_cold.samples_per_s"]
    assert found.roofs["store_at_workers"].samples_per_s == 5000.0


def test_what_a_probe_read_from_memory_is_no_roof_of_a_run_that_read_the_store() -> None:
    """It stays in the table, but is never the lowest."""
    found = known(trace(probed(probe_level(2, 500.0, client_hit_ratio=1.0), cache="asis")), hits=0.1)
    assert found.roofs["store_warm"].samples_per_s == 500.0
    assert found.lowest == "cpu"


def test_a_roof_that_the_run_has_passed_is_none() -> None:
    """It was measured while the host was slower: the next one above the run is the lowest, and it is said."""
    of = trace(probed(probe_level(2, 200.0)))
    found = known(of)
    assert found.roofs["store_at_workers"].samples_per_s == 200.0
    assert found.lowest == "cpu"
    told = [line.plain for line in roofline_lines(summarise(of), 200)]
    assert "store at workers and store, cold was measured too low: the run delivered more" in told[-1]


def test_every_roof_that_is_not_known_says_why() -> None:
    """No probe, no accelerator, no accounting: all six are named all the same."""
    found, reasons = roofs(trace(), demand=None, transport=None, cpu=UNMEASURED)
    assert found is not None
    assert all(roof.samples_per_s is None for roof in found.roofs.values())
    assert all(reasons.by_key[f"roofline.roofs.{name}.samples_per_s"] for name in found.roofs)
    assert (found.lowest, found.binds, found.next, found.next_ratio) == (None, None, None, None)


def test_without_a_rate_there_is_no_roofline() -> None:
    """There is nothing to hold against the roofs."""
    assert roofs(trace(), delivered=None)[0] is None


@pytest.mark.parametrize("width", [80, 100, 120])
def test_the_table_fits_and_has_every_roof(width: int) -> None:
    """Highest first, the run where it stands, the unknown by name."""
    lines = roofline_lines(summarise(trace(probed(probe_level(2, 6600.0), probe_level(4, 8400.0)))), width)
    told = [line.plain for line in lines]
    assert max(map(len, told)) <= width
    heads = [one[4:22].strip() for one in told if one[:4] == "    " and " x" in one[22:46]]
    assert heads == ["store, cold", "store at workers", "accelerator", "delivered"]
    assert any(one.lstrip().startswith("store, warm: unknown (") for one in told)
