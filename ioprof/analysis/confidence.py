"""How far a verdict can be relied on: what else was measured speaks for it, or against it, each in words.

Confidence is (for + 1) / (for + against + 2), Laplace's rule of succession: one half where nothing was heard, and never
certain. It is no probability that was calibrated on runs of known bound; it says how much of the evidence agrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ioprof.analysis.bound import CLOSE_RATIO, WELL_ABOVE_RATIO, BoundName, Evidence
from ioprof.analysis.cures import CureId
from ioprof.analysis.idle_causes import GROUPS
from ioprof.analysis.store_limit import MAIN_SHARE
from ioprof.analysis.verdict import HEALTHY_UTILIZATION
from ioprof.analysis.wording import whole_percent
from ioprof.units import format_count

Bounds = frozenset[BoundName]
_STORE: Bounds = frozenset({"storage-latency", "storage-bandwidth", "metadata"})
_TURNS: Bounds = frozenset({"prefetch", "order"})
"""How batches wait for each other."""
_ALL: Bounds = _STORE | _TURNS | {"accelerator", "cpu", "loader", "workers", "transfer"}
_FED: Bounds = frozenset({"accelerator"})
_NONE: Bounds = frozenset()
_FAR_RATIO = 2.0
"""From this ratio on a roof is so far away that it explains nothing."""
_MOVES = 1.05
"""A change that brings as much more touches what binds."""
_STILL = 1.02
"""One that brings less does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What one measurement says of what binds."""

    told: str
    speaks_for: Bounds
    speaks_against: Bounds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliance:
    """How far a verdict can be relied on."""

    confidence: float | None
    """0.0 to 1.0; None: nothing else was measured that could speak for or against it."""
    agreeing: tuple[str, ...]
    contradictions: tuple[str, ...]


def reliance(
    bound: BoundName,
    evidence: Evidence | None,
    *,
    idle: Mapping[str, float],
    utilization_ci95: tuple[float, float] | None,
    cpu_roof_per_s: float | None,
    gains: Mapping[CureId, float],
) -> Reliance:
    """Return how much of the evidence agrees with a bound.

    Args:
        bound: what was named.
        evidence: what was measured beside the run; None: nothing was.
        idle: idle seconds by cause; empty without an accelerator.
        utilization_ci95: interval of the accelerator's utilisation.
        cpu_roof_per_s: what the host's CPUs would allow.
        gains: what the model says that each cure brings, as a ratio of rates.
    """
    heard = [*_of_utilization(utilization_ci95), *_of_idle(idle), *_of_gains(bound, gains)]
    if evidence is not None:
        heard += [*_of_store(evidence), *_of_transport(evidence), *_of_kernel(evidence)]
        heard += [*_of_cpus(evidence, cpu_roof_per_s), *_of_demand(evidence, cpu_roof_per_s)]
    agreeing = tuple(one.told for one in heard if bound in one.speaks_for)
    against = tuple(one.told for one in heard if bound in one.speaks_against)
    count = len(agreeing) + len(against)
    confidence = (len(agreeing) + 1) / (count + 2) if count else None
    return Reliance(confidence=confidence, agreeing=agreeing, contradictions=against)


def _of_utilization(interval: tuple[float, float] | None) -> Iterator[Opinion]:
    if interval is None:
        return
    told = f"its utilisation lies between {whole_percent(interval[0])} and {whole_percent(interval[1])}"
    if interval[0] >= HEALTHY_UTILIZATION:
        yield Opinion(told=told, speaks_for=_FED, speaks_against=_ALL - _FED)
    elif interval[1] < HEALTHY_UTILIZATION:
        yield Opinion(told=told, speaks_for=_NONE, speaks_against=_FED)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Group:
    words: str
    causes: tuple[str, ...]
    speaks_for: Bounds
    speaks_against: Bounds


_GROUPS = (
    _Group(
        words="inside storage operations",
        causes=GROUPS["storage"],
        speaks_for=_STORE | _TURNS | {"workers"},
        speaks_against=frozenset({"cpu", "loader", "transfer"}),
    ),
    _Group(
        words="preparing samples",
        causes=GROUPS["prep"],
        speaks_for=_TURNS | {"cpu", "workers"},
        speaks_against=_STORE | {"loader", "transfer"},
    ),
    _Group(
        words="in waiting for a CPU after a step that was over",
        causes=GROUPS["host_late"],
        speaks_for=frozenset({"cpu"}),
        speaks_against=_STORE | {"loader", "transfer"},
    ),
    _Group(
        words="in the loader's queues, transport and unwrapping",
        causes=GROUPS["delivery"],
        speaks_for=frozenset({"loader"}),
        speaks_against=_STORE | {"cpu", "transfer"},
    ),
    _Group(
        words="in batches that waited for their turn",
        causes=("in_order",),
        speaks_for=_TURNS,
        speaks_against=frozenset({"cpu", "loader", "transfer"}),
    ),
    _Group(
        words="in workers that were free and not asked for more",
        causes=("prefetch_limit",),
        speaks_for=_TURNS,
        speaks_against=_STORE | {"cpu", "loader", "transfer"},
    ),
    _Group(
        words="in copies to the accelerator",
        causes=("transfer",),
        speaks_for=frozenset({"transfer"}),
        speaks_against=_ALL - {"transfer", "accelerator"},
    ),
)


def _of_idle(idle: Mapping[str, float]) -> Iterator[Opinion]:
    """Yield where most of the idle time went, if most of it went to one place."""
    whole = sum(idle.values())
    if whole <= 0:
        return
    for group in _GROUPS:
        share = sum(idle.get(cause, 0.0) for cause in group.causes) / whole
        if share > MAIN_SHARE:
            told = f"{whole_percent(share)} of the idle time is {group.words}"
            yield Opinion(told=told, speaks_for=group.speaks_for, speaks_against=group.speaks_against)


def _of_store(e: Evidence) -> Iterator[Opinion]:
    if e.at_workers_per_s is None or e.best_per_s is None:
        return
    ratio = e.at_workers_per_s / e.delivered_per_s
    count = max(1, e.workers)
    told = f"{count} plain process{'' if count == 1 else 'es'} get {_rate(e.at_workers_per_s)} samples/s from the store"
    if ratio <= CLOSE_RATIO:
        yield Opinion(
            told=f"{told}, hardly more than the run",
            speaks_for=_STORE | {"workers"},
            speaks_against=_TURNS | {"loader", "transfer", "cpu"},
        )
    elif ratio >= WELL_ABOVE_RATIO:
        yield Opinion(
            told=f"{told}, {ratio:.1f} x what the run got",
            speaks_for=_TURNS | {"cpu", "loader", "transfer"},
            speaks_against=_STORE,
        )
    more = e.best_per_s / e.at_workers_per_s
    told = f"{e.best_processes} processes get {_rate(e.best_per_s)}"
    if more >= WELL_ABOVE_RATIO:
        yield Opinion(told=told, speaks_for=frozenset({"workers"}), speaks_against=_NONE)
    elif e.is_store_limited and e.best_per_s <= e.delivered_per_s * CLOSE_RATIO:
        told = f"more processes get no more than {_rate(e.best_per_s)} from the store"
        yield Opinion(told=told, speaks_for=_STORE, speaks_against=frozenset({"workers"}))


def _of_transport(e: Evidence) -> Iterator[Opinion]:
    if e.transport_per_s is None:
        return
    told = f"the loader fed from memory delivers {_rate(e.transport_per_s)} samples/s"
    others = _ALL - {"loader", "accelerator"}
    if e.transport_per_s <= e.delivered_per_s * CLOSE_RATIO:
        yield Opinion(told=f"{told}, hardly more", speaks_for=frozenset({"loader"}), speaks_against=others)
    elif e.transport_per_s >= e.delivered_per_s * WELL_ABOVE_RATIO:
        yield Opinion(told=told, speaks_for=others, speaks_against=frozenset({"loader"}))


def _of_kernel(e: Evidence) -> Iterator[Opinion]:
    if e.on_cpu_share is None or e.run_queue_share is None:
        return
    computing = e.on_cpu_share + e.run_queue_share
    if computing > MAIN_SHARE:
        told = f"workers were on a CPU, or waited for one, {whole_percent(computing)} of the time"
        yield Opinion(told=told, speaks_for=frozenset({"cpu", "workers"}), speaks_against=_STORE)
    else:
        told = f"workers were blocked {whole_percent(1 - computing)} of the time, neither on a CPU nor waiting for one"
        yield Opinion(told=told, speaks_for=_STORE | {"workers"}, speaks_against=frozenset({"cpu"}))


def _of_cpus(e: Evidence, roof_per_s: float | None) -> Iterator[Opinion]:
    if roof_per_s is None:
        return
    told = f"the host's CPUs would allow {_rate(roof_per_s)} samples/s"
    if roof_per_s <= e.delivered_per_s * WELL_ABOVE_RATIO:
        yield Opinion(told=f"{told}, hardly more", speaks_for=frozenset({"cpu"}), speaks_against=_NONE)
    elif roof_per_s >= e.delivered_per_s * _FAR_RATIO:
        yield Opinion(told=told, speaks_for=_NONE, speaks_against=frozenset({"cpu"}))


def _of_demand(e: Evidence, cpu_roof_per_s: float | None) -> Iterator[Opinion]:
    """Yield whether every other part could feed the accelerator: only all of them together can."""
    rates = (e.at_workers_per_s, e.transport_per_s, cpu_roof_per_s)
    known = [rate for rate in rates if rate is not None]
    if e.demand_per_s is None or len(known) < len(rates):
        return
    least = min(known)
    told = f"store, loader and CPUs would each allow {_rate(least)} samples/s or more, where {_rate(e.demand_per_s)} do"
    if least >= e.demand_per_s * WELL_ABOVE_RATIO:
        yield Opinion(told=told, speaks_for=_FED, speaks_against=_NONE)


_TOUCHED_BY: Mapping[BoundName, Mapping[CureId, str]] = {
    "workers": {"more-workers": "more workers"},
    "prefetch": {"more-prefetch": "more batches ahead"},
    "order": {"out-of-order": "batches out of order"},
    "storage-latency": {"store-latency": "half the store's latency", "store-iops": "twice the store's IOPS"},
    "storage-bandwidth": {"store-bandwidth": "twice the store's bandwidth"},
    "metadata": {"larger-objects": "larger objects", "store-latency": "half the store's latency"},
    "cpu": {"more-cores": "twice the CPUs", "cheaper-preparation": "decoding at half the cost"},
    "transfer": {"faster-link": "copies in half the time"},
}
"""The changes that must bring something where a bound is the right one."""


def _of_gains(bound: BoundName, gains: Mapping[CureId, float]) -> Iterator[Opinion]:
    """Yield what replaying the run with the bound's own cure says of it."""
    asked = {cure: words for cure, words in _TOUCHED_BY.get(bound, {}).items() if cure in gains}
    if not asked:
        return
    best = max(asked, key=lambda cure: gains[cure])
    told = f"replayed with {asked[best]}, the run would deliver {gains[best]:.2f} x as much"
    if gains[best] >= _MOVES:
        yield Opinion(told=told, speaks_for=frozenset({bound}), speaks_against=_NONE)
    elif gains[best] < _STILL:
        yield Opinion(told=told, speaks_for=_NONE, speaks_against=frozenset({bound}))


def _rate(per_s: float) -> str:
    return format_count(round(per_s) if per_s >= 100 else round(per_s, 1))
