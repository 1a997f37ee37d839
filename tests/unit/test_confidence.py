"""Confidence is the share of the other evidence that agrees; what contradicts is told in words."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_verdict_bound import STORE

from ioprof.analysis.bound import BoundName, Evidence
from ioprof.analysis.confidence import Reliance, reliance
from ioprof.analysis.cures import CureId

READING = {"read": 9.0, "decode": 0.5, "ipc": 0.5}


def relied_on(
    bound: BoundName = "storage-latency",
    evidence: Evidence | None = STORE,
    *,
    idle: Mapping[str, float] = READING,
    utilization: tuple[float, float] | None = (0.2, 0.3),
    cpu_roof: float | None = 9000.0,
    gains: Mapping[CureId, float] | None = None,
) -> Reliance:
    """Return how far a bound of a run is relied on whose storage is slow in every respect."""
    half_latency: Mapping[CureId, float] = {"store-latency": 1.9}
    return reliance(
        bound, evidence, idle=idle, utilization_ci95=utilization, cpu_roof_per_s=cpu_roof,
        gains=half_latency if gains is None else gains,
    )  # fmt: skip


def test_where_all_agrees_confidence_is_high_and_nothing_is_told_against_it() -> None:
    """Idle time, the model, the plain processes, the loader fed from memory, and the kernel: n + 1 over n + 2."""
    found = relied_on()
    assert found.contradictions == ()
    assert len(found.agreeing) >= 5
    assert found.confidence == pytest.approx((len(found.agreeing) + 1) / (len(found.agreeing) + 2))


def test_each_contradiction_lowers_confidence_and_is_told() -> None:
    """A model in which half the latency changes nothing, then idle time that is elsewhere as well."""
    sure = relied_on()
    doubted = relied_on(gains={"store-latency": 1.0})
    denied = relied_on(gains={"store-latency": 1.0}, idle={"read": 1.0, "decode": 9.0})
    assert sure.confidence is not None
    assert doubted.confidence is not None
    assert denied.confidence is not None
    assert sure.confidence > doubted.confidence > denied.confidence
    assert doubted.contradictions == (
        "replayed with half the store's latency, the run would deliver 1.00 x as much",
    )  # fmt: skip
    assert "90 % of the idle time is preparing samples" in denied.contradictions


@pytest.mark.parametrize(
    "bound", ["cpu", "loader", "transfer", "accelerator"],
)  # fmt: skip
def test_a_wrong_bound_is_contradicted(bound: BoundName) -> None:
    """Everything says storage: another name gets more against it than for it."""
    found = relied_on(bound)
    assert found.confidence is not None
    assert found.confidence < 0.5


def test_idle_time_is_read_by_its_finer_causes_too() -> None:
    """Opens and reads together are most of it, though neither is."""
    found = relied_on(idle={"open": 4.0, "read": 4.0, "decode": 2.0})
    assert "80 % of the idle time is inside storage operations" in found.agreeing


def test_without_any_evidence_there_is_no_confidence() -> None:
    """Nothing spoke: that is not one half."""
    assert relied_on(evidence=None, idle={}, utilization=None, cpu_roof=None, gains={}).confidence is None


@given(
    st.sampled_from(["storage-latency", "cpu", "loader", "workers", "prefetch", "order", "accelerator", "metadata"]),
    st.dictionaries(st.sampled_from(["read", "open", "collate", "decode", "ipc", "in_order"]), st.floats(0, 10)),
    st.floats(0.5, 3.0),
)
def test_confidence_is_never_certain(bound: BoundName, idle: dict[str, float], gain: float) -> None:
    """Strictly between 0 and 1, whatever was measured."""
    found = relied_on(bound, idle=idle, gains={"more-workers": gain, "store-latency": gain, "more-prefetch": gain})
    assert found.confidence is None or 0.0 < found.confidence < 1.0
