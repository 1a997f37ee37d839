"""What binds a run, as far as its ceiling, its baselines and the kernel's accounting go; and why, in a sentence.

Storage is blamed only for what nothing else explains: the loader fed from memory must be well faster, the workers must
have waited for the store and not for a CPU, and the store must have given a plain reader no more than it gave the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ioprof.analysis.store_limit import MAIN_SHARE, store_bound
from ioprof.analysis.wording import whole_percent
from ioprof.units import format_bytes, format_count, format_rate_bytes

CLOSE_RATIO = 1.10
"""Rates within this ratio are the same: what one of them is limited by, limits the other."""
WELL_ABOVE_RATIO = 1.20
"""From this ratio on, what gave the higher rate does not explain the lower one."""
CROWDED_SHARE = 0.25
"""From this share of their time in the run queue, workers lack CPUs."""
BUSY_HOST_RATIO = 0.9
WORKING_SHARE = 0.85
"""Workers that make batches for less of the time than this were kept waiting by something else."""
FEW_SLOW_SHARE = 0.9
"""Where more batches than this are made while those ahead of them are used, a few slow ones hold up the rest; else too
few are made ahead for the usual ones."""

BoundName = Literal[
    "accelerator", "storage-latency", "storage-bandwidth", "metadata", "cpu", "loader", "workers", "prefetch", "order",
    "transfer",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a run beside its own rate; None: not known."""

    delivered_per_s: float
    """Samples/s."""
    demand_per_s: float | None
    """What full speed needs; None: there is no accelerator."""
    workers: int
    cores: float | None
    at_workers_per_s: float | None
    """What the store gave as many plain processes as there are workers."""
    at_workers_low_per_s: float | None
    """Low end of the 95 % interval of that."""
    best_per_s: float | None
    """What it gave at most."""
    best_processes: int
    is_store_limited: bool
    """Whether more processes brought no more although CPUs were free."""
    is_client_limited: bool
    """Whether this host's CPUs, and not the store, limited what as many plain processes got."""
    transport_per_s: float | None
    no_workers_per_s: float | None
    on_cpu_share: float | None
    """Share of the workers' time on batches on a CPU."""
    run_queue_share: float | None
    """Share of it waiting for one."""
    host_cpu_ratio: float | None
    """Share of all the host's CPU time in use."""
    prep_share: float | None
    """Share of the workers' time in operations that went into decoding."""
    working_share: float | None
    """Share of the window in which workers made batches."""
    spread: float | None
    """Standard deviation of what batches took, relative to their mean."""
    metadata_share: float
    """Share of the time in storage operations that moved no data."""
    read_bytes: float
    """Mean size of a read."""
    transfer_share: float
    """Share of the idle time that went into copies to the accelerator."""
    delivery_share: float
    """Share of it that was the loader's own: queues, transport between processes, unwrapping, start of workers."""
    best_bytes_per_s: float | None = None
    """Bytes/s at the store's best rate."""
    fitting_share: float | None = None
    """Share of the batches that took no longer to make than the accelerator is busy with those made ahead of them."""
    bytes_share: float | None = None
    """Share of what a read takes at the store's limit that goes with its bytes; None: not known."""
    is_growing: bool = False
    """Whether the store gave the most processes that were tried more than it gave half of them."""
    shorter_told: str | None = None
    """What shorter reads have shown at the limit, in words; None: they were not tried."""
    workers_can_be_set: bool = True
    """Whether the loader has such a parameter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """What binds, and the numbers that say so."""

    name: BoundName | None
    because: str


def bound_of(evidence: Evidence) -> Bound:
    """Return what binds a run; without a name where the evidence does not single out one part."""
    for rule in (_transfer, _no_workers, _delivery, _loader, _cpu, _storage, _waiting):
        found = rule(evidence)
        if found is not None:
            return found
    return Bound(name=None, because=_undecided(evidence))


def _transfer(e: Evidence) -> Bound | None:
    if e.transfer_share <= MAIN_SHARE:
        return None
    told = f"{whole_percent(e.transfer_share)} of its idle time went into copies to the accelerator"
    return Bound(name="transfer", because=told)


def _no_workers(e: Evidence) -> Bound | None:
    if e.workers or e.demand_per_s is None or not e.workers_can_be_set:
        return None
    told = "without worker processes nothing is loaded while the accelerator works; use --workers 1 or more"
    return Bound(name="workers", because=told)


def _delivery(e: Evidence) -> Bound | None:
    """The accelerator waited for the loader's own machinery, not for what workers do, on a host with CPUs to spare."""
    if e.delivery_share <= MAIN_SHARE or _is_crowded(e):
        return None
    told = f"its own queues, transport and unwrapping hold {whole_percent(e.delivery_share)} of the idle time"
    if e.working_share is not None and e.working_share < WORKING_SHARE:
        told += f", and workers needed {whole_percent(e.working_share)} of the time to make the batches"
    if e.transport_per_s is not None:
        told += f"; fed from memory and never kept waiting, it delivers {_rate(e.transport_per_s)} samples/s"
    if e.at_workers_per_s is not None and e.at_workers_per_s > WELL_ABOVE_RATIO * e.delivered_per_s:
        told += f", and the store gives {_as_many(e)} {_rate(e.at_workers_per_s)}"
    return Bound(name="loader", because=told)


def _loader(e: Evidence) -> Bound | None:
    """The loader delivers no more even where samples come from memory."""
    if e.transport_per_s is None or e.delivered_per_s * CLOSE_RATIO < e.transport_per_s:
        return None
    told = (
        f"fed from memory it delivers {_rate(e.transport_per_s)} samples/s, hardly more than the "
        f"{_rate(e.delivered_per_s)} of this run"
    )
    if e.no_workers_per_s is not None and e.no_workers_per_s > WELL_ABOVE_RATIO * e.delivered_per_s:
        told += f"; without workers, reading from the store, it delivers {_rate(e.no_workers_per_s)}"
    if e.at_workers_per_s is not None and e.at_workers_per_s > WELL_ABOVE_RATIO * e.delivered_per_s:
        told += f"; the store gives {_as_many(e)} {_rate(e.at_workers_per_s)}"
    return Bound(name="loader", because=told)


def _cpu(e: Evidence) -> Bound | None:
    """Workers compute or wait for a CPU more than they wait for the store."""
    if e.on_cpu_share is None or e.run_queue_share is None:
        return None
    if e.on_cpu_share + e.run_queue_share <= MAIN_SHARE:
        return None
    told = (
        f"of the time on batches {whole_percent(e.on_cpu_share)} was work on a CPU and "
        f"{whole_percent(e.run_queue_share)} waiting for a free one"
    )
    if e.prep_share is not None:
        told += f" (preparing samples took {whole_percent(e.prep_share)} of that time)"
    if not _is_crowded(e) and e.cores is not None and e.workers < e.cores:
        left = f"{e.cores - e.workers:g} of {e.cores:g} CPUs are left for more workers"
        return Bound(name="workers", because=f"{told}; {left}")
    if e.host_cpu_ratio is not None:
        told += f"; all CPUs of the host were {whole_percent(e.host_cpu_ratio)} in use"
    return Bound(name="cpu", because=told)


def _is_crowded(e: Evidence) -> bool:
    return (e.run_queue_share or 0.0) >= CROWDED_SHARE or (e.host_cpu_ratio or 0.0) >= BUSY_HOST_RATIO


def _storage(e: Evidence) -> Bound | None:
    """The store gave plain processes no more, and the loader could have moved more."""
    ceiling, best, transport = e.at_workers_per_s, e.best_per_s, e.transport_per_s
    if ceiling is None or best is None or transport is None or transport < WELL_ABOVE_RATIO * e.delivered_per_s:
        return None
    # What the store proved unable to exceed with any number of processes is its limit, however crowded a level was.
    at_most = e.is_store_limited and e.delivered_per_s * CLOSE_RATIO >= best
    if not at_most and (e.is_client_limited or not _reaches(e, ceiling)):
        return None
    told = (
        f"the store gives {_as_many(e)} {_rate(ceiling)} samples/s without any loader, and the loader fed from memory "
        f"delivers {_rate(transport)}"
    )
    if best > WELL_ABOVE_RATIO * max(ceiling, e.delivered_per_s):
        more = f"but the store gives {e.best_processes} processes {_rate(best)}, so more workers would help"
        return Bound(name="workers", because=f"{told}; {more}")
    told += f"; more processes bring no more than {_rate(best)}"
    if e.demand_per_s is not None:
        told += f", and full speed needs {_rate(e.demand_per_s)}"
    if e.best_bytes_per_s is not None and e.metadata_share <= MAIN_SHARE:
        told += f"; that is {format_rate_bytes(e.best_bytes_per_s)} in reads of {format_bytes(e.read_bytes)}"
    kind = _storage_kind(e)
    if kind != "metadata" and e.shorter_told is not None:
        told += f"; {e.shorter_told}"
    elif kind == "storage-latency" and e.is_store_limited:
        told += "; reads of one size cannot tell whether operations or bytes hold it there"
    return Bound(name=kind, because=told)


def _reaches(e: Evidence, ceiling: float) -> bool:
    """Tell whether the run got what as many plain processes get, or what cannot be told from it."""
    low = ceiling if e.at_workers_low_per_s is None else e.at_workers_low_per_s
    return e.delivered_per_s * CLOSE_RATIO >= min(ceiling, low) and e.delivered_per_s * WELL_ABOVE_RATIO >= ceiling


def _storage_kind(e: Evidence) -> BoundName:
    return store_bound(
        metadata_share=e.metadata_share, bytes_share=e.bytes_share, is_growing=e.is_growing, read_bytes=e.read_bytes
    )


def _waiting(e: Evidence) -> Bound | None:
    """Store and loader could both give more: workers were busy with something else, or were kept waiting."""
    store, moved, working = e.at_workers_per_s, e.transport_per_s, e.working_share
    if store is None or moved is None or working is None or min(store, moved) < WELL_ABOVE_RATIO * e.delivered_per_s:
        return None
    told = f"the store gives {_as_many(e)} {_rate(store)} samples/s and the loader could move {_rate(moved)}, but "
    told += f"workers made batches {whole_percent(working)} of the time"
    if working >= WORKING_SHARE and e.prep_share is not None and e.prep_share > MAIN_SHARE:
        prepared = f"and spent {whole_percent(e.prep_share)} of that preparing samples, mostly not on a CPU"
        return Bound(name="workers", because=f"{told} {prepared}: more of them would help")
    if working < WORKING_SHARE and e.demand_per_s is not None and e.spread is not None:
        if (found := _order(e, told)) is not None:
            return found
        waited = f"and waited otherwise; what batches take differs by {whole_percent(e.spread)} (standard deviation)"
        return Bound(name="prefetch", because=f"{told} {waited}: with a larger --prefetch slow ones hold up less")
    return None


def _order(e: Evidence, told: str) -> Bound | None:
    """Nearly all batches are ready in time, and wait behind the few that are not."""
    if e.fitting_share is None or e.fitting_share < FEW_SLOW_SHARE:
        return None
    late = (
        f"and waited otherwise: {whole_percent(e.fitting_share)} of the batches were made while those ahead of them "
        "were used, and the few slow ones hold up all behind them; delivered as they come (loader.in_order = false, "
        "where a loader has it) or with a far larger --prefetch they would not"
    )
    return Bound(name="order", because=f"{told} {late}")


def _undecided(e: Evidence) -> str:
    known = [
        f"the store gave {_as_many(e)} {_rate(e.at_workers_per_s)} samples/s" if e.at_workers_per_s is not None else "",
        f"the loader fed from memory delivered {_rate(e.transport_per_s)}" if e.transport_per_s is not None else "",
    ]
    told = " and ".join(part for part in known if part)
    if not told:
        return "neither the store's ceiling nor the loader's own rate is known"
    told += f", this run {_rate(e.delivered_per_s)}"
    if _was_slower_meanwhile(e):
        return (
            f"{told}: the same reads were faster right after it, so the store or this host was busier then; run again"
        )
    return f"{told}: no single part explains it"


def _was_slower_meanwhile(e: Evidence) -> bool:
    """Tell whether workers did nothing but read, and yet got much less than plain processes did afterwards."""
    store, moved = e.at_workers_per_s, e.transport_per_s
    if store is None or moved is None or min(store, moved) < WELL_ABOVE_RATIO * e.delivered_per_s:
        return False
    return (e.working_share or 0.0) >= WORKING_SHARE and (e.prep_share or 0.0) <= MAIN_SHARE


def _as_many(e: Evidence) -> str:
    count = max(1, e.workers)
    return "one process" if count == 1 else f"{count} processes"


def _rate(per_s: float) -> str:
    return format_count(round(per_s) if per_s >= 100 else round(per_s, 1))
