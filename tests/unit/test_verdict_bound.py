"""What binds a run: storage is blamed only for what loader, CPUs and workers do not explain."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ioprof.analysis.bootstrap import MIN_STEPS
from ioprof.analysis.bound import Bound, Evidence, bound_of
from ioprof.analysis.idle_causes import IdleByCause
from ioprof.analysis.verdict import verdict

STORE = Evidence(
    delivered_per_s=1000.0, demand_per_s=4000.0, workers=2, cores=8.0, at_workers_per_s=1050.0,
    at_workers_low_per_s=1000.0, best_per_s=1100.0,
    best_processes=8, is_store_limited=True, is_client_limited=False,
    transport_per_s=9000.0, no_workers_per_s=520.0, on_cpu_share=0.1,
    run_queue_share=0.02, host_cpu_ratio=0.3, prep_share=0.05, working_share=0.98, spread=0.2, metadata_share=0.1,
    read_bytes=4096.0, transfer_share=0.0, delivery_share=0.0,
)  # fmt: skip
"""Two workers that wait for the store, which gives nobody more."""


SLOW_FEW: dict[str, object] = {
    "at_workers_per_s": 3000.0, "best_per_s": 3000.0, "working_share": 0.5, "spread": 3.0,
}  # fmt: skip
"""Workers are often done and wait, though store and loader could do more."""
UNPROBED: dict[str, object] = dict.fromkeys(
    ("at_workers_per_s", "at_workers_low_per_s", "best_per_s", "transport_per_s", "no_workers_per_s")
) | {"is_store_limited": False}


def bound(**changes: object) -> Bound:
    """Return what binds a run like `STORE` but for some of its evidence."""
    return bound_of(replace(STORE, **changes))


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "storage-latency"),
        ({"read_bytes": 1 << 20}, "storage-bandwidth"),
        ({"read_bytes": 1 << 20, "is_growing": True}, "storage-latency"),
        ({"read_bytes": 1 << 20, "bytes_share": 0.1}, "storage-latency"),
        ({"read_bytes": 112 << 10, "bytes_share": 0.9}, "storage-bandwidth"),
        ({"metadata_share": 0.7}, "metadata"),
        ({"metadata_share": 0.7, "bytes_share": 0.9}, "metadata"),
        ({"best_per_s": 2400.0}, "workers"),
        ({"is_client_limited": True}, "storage-latency"),
        ({"at_workers_per_s": 1180.0, "at_workers_low_per_s": 900.0, "best_per_s": 1180.0}, "storage-latency"),
        ({"transport_per_s": 1050.0}, "loader"),
        ({"transport_per_s": 1050.0, "at_workers_per_s": 5000.0, "best_per_s": 5000.0}, "loader"),
        ({"on_cpu_share": 0.6, "run_queue_share": 0.3}, "cpu"),
        ({"on_cpu_share": 0.3, "run_queue_share": 0.5}, "cpu"),
        ({"on_cpu_share": 0.9, "workers": 8}, "cpu"),
        ({"on_cpu_share": 0.9, "host_cpu_ratio": 0.95}, "cpu"),
        ({"on_cpu_share": 0.9}, "workers"),
        ({"workers": 0}, "workers"),
        ({"at_workers_per_s": 3000.0, "best_per_s": 3000.0, "prep_share": 0.8}, "workers"),
        ({"at_workers_per_s": 3000.0, "best_per_s": 3000.0, "working_share": 0.5, "spread": 1.0}, "prefetch"),
        (SLOW_FEW | {"fitting_share": 0.95}, "order"),
        (SLOW_FEW | {"fitting_share": 0.7}, "prefetch"),
        ({"at_workers_per_s": 900.0, "at_workers_low_per_s": 880.0}, "storage-latency"),
        ({"transfer_share": 0.6}, "transfer"),
        (UNPROBED | {"transfer_share": 0.6}, "transfer"),
        (UNPROBED | {"on_cpu_share": 0.9, "workers": 8}, "cpu"),
        ({"delivery_share": 0.8}, "loader"),
        ({"delivery_share": 0.8, "working_share": 0.3, "spread": 0.2, "on_cpu_share": 0.8}, "loader"),
        ({"delivery_share": 0.8, "on_cpu_share": 0.3, "run_queue_share": 0.5}, "cpu"),
    ],
)
def test_each_kind_of_evidence_names_its_bound(changes: dict[str, object], name: str) -> None:
    """One part at a time is made the slow one."""
    assert bound(**changes).name == name


@pytest.mark.parametrize(
    "changes",
    [
        {"transport_per_s": None},
        {"at_workers_per_s": None},
        {"is_client_limited": True, "is_store_limited": False},
        {"is_client_limited": True, "best_per_s": 2400.0},
        {"transport_per_s": 1150.0},
        {"at_workers_per_s": 1150.0, "at_workers_low_per_s": 1140.0, "best_per_s": 1150.0},
        {"at_workers_per_s": 1250.0, "at_workers_low_per_s": 900.0, "best_per_s": 1250.0},
        {"at_workers_per_s": 3000.0, "best_per_s": 3000.0},
    ],
)
def test_without_proof_nothing_is_blamed(changes: dict[str, object]) -> None:
    """A part that was not measured, rates neither close nor far apart, reads that were slow in the run alone."""
    found = bound(**changes)
    assert found.name is None
    assert found.because


def test_what_is_known_to_help_is_told_with_its_numbers() -> None:
    """The sentence is one to defend before a vendor: what was given, to how many, and what full speed needs."""
    told = bound().because
    for number in ("2 processes 1,050", "9,000", "1,100", "4,000"):
        assert number in told
    assert "8 processes 2,400" in bound(best_per_s=2400.0).because
    assert (
        "without workers, reading from the store, it delivers 5,200"
        in bound(transport_per_s=1050.0, no_workers_per_s=5200.0).because
    )


def test_a_run_whose_own_reads_were_slower_is_to_be_repeated() -> None:
    """Workers read all the time, and plain processes got three times as much right afterwards: something else ran."""
    busier = bound(at_workers_per_s=3000.0, best_per_s=3000.0)
    assert (busier.name, "was busier then; run again" in busier.because) == (None, True)


def test_a_fed_accelerator_is_the_bound_whatever_else_is_slow() -> None:
    """Evidence is only asked where something starves."""
    idle = IdleByCause(read=1.0)
    busy, _ = verdict(0.97, idle, 1000.0, "", steps=MIN_STEPS, prefetched=0, evidence=STORE)
    starved, reasons = verdict(0.4, idle, 1000.0, "", steps=MIN_STEPS, prefetched=0, evidence=STORE)
    alone, _ = verdict(None, None, 1000.0, "none", steps=MIN_STEPS, prefetched=0, evidence=STORE)
    assert (busy.bound, starved.bound, alone.bound) == ("accelerator", "storage-latency", "storage-latency")
    assert "idle 60.0 % of the time" in starved.sentence
    assert "The store's latency and IOPS are the limit: the store gives" in starved.sentence
    assert "verdict.bound" not in reasons


def test_without_a_probe_the_reason_is_the_probes_own() -> None:
    """A null bound says why nothing was measured beside the run."""
    idle = IdleByCause(read=1.0)
    found, reasons = verdict(
        0.4, idle, 1.0, "", steps=MIN_STEPS, prefetched=0, no_evidence="the probe was skipped: why"
    )
    assert (found.bound, reasons["verdict.bound"]) == (None, "the probe was skipped: why")
