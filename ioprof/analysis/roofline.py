"""The data roofline: what each part of the path would allow on its own, in samples/s, beside what was delivered.

No run can exceed any of the roofs; the lowest is the one to raise, and the one above it says how much that can bring.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow.compute as pc

from ioprof.analysis.ceiling import NO_LEVEL, is_otherwise_cached, missing, no_level, workers_of
from ioprof.analysis.reasons import Reasons
from ioprof.analysis.roofs import Roof, Roofline, RoofName
from ioprof.analysis.summary import Baselines, CpuTime
from ioprof.analysis.wording import percent
from ioprof.trace.probe_record import LevelRecord, ProbeRecord
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace
from ioprof.units import format_duration

REACHED_RATIO = 1.10
"""A run within this ratio of a roof is held by it."""
COLD_HIT_RATIO = 0.01
WARM_HIT_RATIO = 0.99
_NONE_KNOWN = "no roof is known that the run has not passed"
_TOO_FEW_KNOWN = "fewer than two such roofs are known"
_LEVEL_TOO_FEW = "the probe had no level with as many processes as the loader has workers"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A roof before its name is known; a text instead of a rate is the reason why it is unknown."""

    rate: float | str
    basis: str = ""
    is_lower_bound: bool = False


def roofline(
    trace: Trace,
    *,
    delivered_per_s: float | None,
    demand_per_s: float | None,
    cpu: CpuTime,
    baselines: Baselines,
    client_hit_ratio: float | None,
    reasons: Reasons,
) -> Roofline | None:
    """Return all roofs; None where the run delivered nothing to hold against them.

    Args:
        trace: the run.
        delivered_per_s: samples/s of the measured window.
        demand_per_s: what full speed needs; None without an accelerator.
        cpu: where the workers' time on batches of the window went.
        baselines: the loader's.
        client_hit_ratio: share of the run's bytes that this host's page cache served; None: not known.
        reasons: takes in why a roof is unknown; those of demand and baselines are in it already.
    """
    if not delivered_per_s:
        reasons.by_key["roofline"] = reasons.by_key.get("samples_per_s", "nothing was delivered")
        return None
    found: dict[RoofName, _Found] = {
        "accelerator": _demand(trace.run, demand_per_s, reasons),
        "loader": _transport(baselines, reasons),
        "cpu": _cpu(trace, cpu, reasons),
        "store_at_workers": _at_workers(trace),
        "store_cold": _store(trace, "cold"),
        "store_warm": _store(trace, "warm"),
    }
    roofs = {name: _roof(name, one, reasons) for name, one in found.items()}
    held = _that_hold(roofs, delivered_per_s, is_otherwise_cached(trace.probe, client_hit_ratio))
    lowest = held[0] if held else None
    above = held[1] if len(held) > 1 else None
    return Roofline(
        delivered_samples_per_s=delivered_per_s,
        roofs=roofs,
        lowest=reasons.known("roofline.lowest", lowest, _NONE_KNOWN),
        binds=_binds(delivered_per_s, roofs, lowest, reasons),
        next=reasons.known("roofline.next", above, _TOO_FEW_KNOWN),
        next_ratio=reasons.known("roofline.next_ratio", _ratio(roofs, lowest, above), _TOO_FEW_KNOWN),
    )


def is_at_store_limit(line: Roofline | None) -> bool:
    """Tell whether a run got all that the store gave any number of plain processes."""
    if line is None:
        return False
    delivered = line.delivered_samples_per_s
    stores = (line.roofs["store_cold"], line.roofs["store_warm"])
    limits = [roof.samples_per_s for roof in stores if roof.samples_per_s is not None and not roof.is_lower_bound]
    return any(delivered / REACHED_RATIO <= limit <= delivered * REACHED_RATIO for limit in limits)


def usable_cores(trace: Trace) -> float | None:
    """Return the CPUs that the run could use: its affinity, or a control group's quota if that is less."""
    if trace.probe is not None and trace.probe.outcome == "complete":
        return trace.probe.cores
    facts = (trace.run.host.get("affinity_cores"), trace.run.host.get("cgroup_cpu_cores"))
    known = [float(count) for count in facts if isinstance(count, int | float) and count > 0]
    return min(known, default=None)


def _roof(name: RoofName, found: _Found, reasons: Reasons) -> Roof:
    rate = reasons.number(f"roofline.roofs.{name}.samples_per_s", found.rate)
    return Roof(samples_per_s=rate, is_lower_bound=found.is_lower_bound, basis=found.basis)


def _demand(run: RunRecord, demand_per_s: float | None, reasons: Reasons) -> _Found:
    if demand_per_s is None:
        return _Found(rate=reasons.by_key.get("demand_samples_per_s", "there is no accelerator"))
    return _Found(rate=demand_per_s, basis=f"keeps {run.accelerator.count} x {run.accelerator.name} busy")


def _transport(baselines: Baselines, reasons: Reasons) -> _Found:
    if baselines.transport_samples_per_s is None:
        return _Found(rate=reasons.by_key.get("baselines.transport_samples_per_s", "it was not measured"))
    return _Found(rate=baselines.transport_samples_per_s, basis="same workers, fed from memory")


def _cpu(trace: Trace, cpu: CpuTime, reasons: Reasons) -> _Found:
    """All CPUs on nothing but what the workers did on theirs: reading, decoding and collating."""
    if cpu.on_cpu_s is None:
        return _Found(rate=reasons.by_key.get("cpu.on_cpu_s", "the workers' time on a CPU is not known"))
    made = trace.batches.filter(pc.greater_equal(trace.batches["batch"], trace.run.warmup_steps))
    samples = pc.sum(made["samples"]).as_py() or 0
    cores = usable_cores(trace)
    if cores is None:
        return _Found(rate="the number of CPUs was not recorded")
    if samples <= 0 or cpu.on_cpu_s <= 0:
        return _Found(rate="the workers used no CPU time that could be measured")
    used = cores if workers_of(trace.run) else min(1.0, cores)
    each_s = cpu.on_cpu_s / samples
    count = f"{used:g} CPU{'' if used == 1 else 's'}"
    return _Found(rate=used / each_s, basis=f"{format_duration(each_s * 1e9)} of CPU a sample, {count}")


def _at_workers(trace: Trace) -> _Found:
    """What as many plain processes got is what the workers could get, if they did nothing but read."""
    probe, count = trace.probe, max(1, workers_of(trace.run))
    level = None if probe is None else probe.level(count)
    if probe is None or level is None:
        return _Found(rate=missing(trace) or no_level(probe, _LEVEL_TOO_FEW))
    return _Found(
        rate=level.samples_per_s,
        basis=f"{_processes(count)}, {_cached(probe, level)}",
        is_lower_bound=level.is_client_limited,
    )


def _store(trace: Trace, wanted: Literal["cold", "warm"]) -> _Found:
    probe = trace.probe
    best = None if probe is None else probe.ceiling
    if probe is None or best is None:
        return _Found(rate=missing(trace) or no_level(probe, NO_LEVEL))
    level = probe.level(best.at_processes)
    state = probe.cache if level is None else _state(probe, level)
    if state != wanted:
        other = f"ioprof probe with --cache {wanted} measures it"
        if state == "asis" and level is not None:
            return _Found(rate=f"the probe read {_cached(probe, level)}; {other}")
        return _Found(rate=f"the probe beside the run read {state}; {other}")
    limits = {"store": "", "client": "; CPUs were the limit", "unknown": "; it may give more"}
    basis = f"{_processes(best.at_processes)}{limits[best.limited_by]}"
    return _Found(rate=best.samples_per_s, basis=basis, is_lower_bound=best.is_lower_bound)


def _processes(count: int) -> str:
    return "one plain process" if count == 1 else f"{count} plain processes"


def _state(probe: ProbeRecord, level: LevelRecord) -> str:
    """Return what the reads of a level were, by what came from the page cache where that is known."""
    hits = level.client_hit_ratio
    if hits is None:
        return probe.cache
    if hits <= COLD_HIT_RATIO:
        return "cold"
    return "warm" if hits >= WARM_HIT_RATIO else "asis"


def _cached(probe: ProbeRecord, level: LevelRecord) -> str:
    state = _state(probe, level)
    if state != "asis":
        return state
    hits = level.client_hit_ratio
    return "with the cache as it was" if hits is None else f"{percent(hits)} out of the page cache"


def _that_hold(roofs: dict[RoofName, Roof], delivered_per_s: float, otherwise_cached: bool) -> list[RoofName]:
    """Return the known roofs over this run, lowest first; the store's only where the probe found the same cached.

    One that the run has passed by far was measured while store or host were slower: it is no roof.
    """
    rates = {
        name: roof.samples_per_s
        for name, roof in roofs.items()
        if roof.samples_per_s is not None
        and roof.samples_per_s * REACHED_RATIO >= delivered_per_s
        and not (otherwise_cached and name.startswith("store"))
    }
    return sorted(rates, key=lambda name: rates[name])


def _binds(
    delivered_per_s: float, roofs: dict[RoofName, Roof], lowest: RoofName | None, reasons: Reasons
) -> RoofName | None:
    rate = None if lowest is None else roofs[lowest].samples_per_s
    if lowest is None or rate is None:
        return reasons.known("roofline.binds", None, _NONE_KNOWN)
    if delivered_per_s * REACHED_RATIO >= rate:
        return lowest
    share = percent(delivered_per_s / rate)
    return reasons.known(
        "roofline.binds", None, f"the run reached {share} of its lowest roof: how the parts work together holds it"
    )


def _ratio(roofs: dict[RoofName, Roof], lowest: RoofName | None, above: RoofName | None) -> float | None:
    low = None if lowest is None else roofs[lowest].samples_per_s
    high = None if above is None else roofs[above].samples_per_s
    return high / low if high is not None and low else None
