"""Which cures a run is a candidate for: those that could be applied to it, before any is held to help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ioprof.analysis.cures import Cost, Cure, CureId, Ladder
from ioprof.analysis.operations import KindTotals
from ioprof.analysis.pipeline.basis import Setting
from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.pieces import STORAGE_STAGES, Stage
from ioprof.analysis.store_limit import store_bound
from ioprof.analysis.stronger_store import stronger_url
from ioprof.trace.kinds import READ_KINDS, Kind
from ioprof.trace.run_record import RunRecord
from ioprof.units import exact_duration, format_bytes, format_count

MOST_WORKERS = 64
MOST_PREFETCH = 32
_WORTH_A_SHARE = 0.03
"""What takes less of the time, or of the reads, is not worth a cure of its own."""
_ROOM_SHARE = 0.5
"""Share of the free memory that batches made ahead may take."""
_MEMORY_COST_SHARE = 0.1
"""From this share of it on, they cost memory."""
_PER_OBJECT = (Stage.STAT, Stage.OPEN, Stage.CLOSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the candidates are chosen by."""

    run: RunRecord
    setting: Setting
    totals: list[KindTotals]
    """Operations of the measured batches."""
    samples: int
    batch_bytes: float
    """Mean of what is read for a batch."""
    no_workers_per_s: float | None
    """The loader without worker processes, in samples/s."""
    delivered_per_s: float
    most_probed: int = 0
    """Processes that the probe had at most; 0: the store was not probed."""
    is_at_store_limit: bool = False
    """It got all that the store gives, however many ask: only asking for less, or another store, brings more."""
    bytes_share: float | None = None
    """Share of what a read takes at the store's limit that goes with its bytes; None: not known."""
    directory: Path | None = None
    """Of the run."""
    client_hit_ratio: float | None
    tracing_share: float | None
    idle_by_cause: Mapping[str, float]
    """Shares of the idle time; empty without an accelerator."""


def ladders(s: Situation) -> list[Ladder]:
    """Return the settings that have many values."""
    found: list[Ladder] = []
    if s.is_at_store_limit:
        return found
    knobs = s.run.spec.get("loader", {})
    if "workers" in knobs:
        reach = max(2 * max(1, s.setting.workers), s.most_probed)
        named: tuple[tuple[CureId, tuple[int, ...]], ...] = (
            ("more-workers", _more_workers(s)),
            ("fewer-workers", _fewer_workers(s)),
        )
        for name, steps in named:
            found.append(Ladder(id=name, steps=steps, at=lambda count: _workers(s, count), reach=reach))
    if "prefetch" in knobs and s.setting.workers:
        steps = _more_prefetch(s)
        found.append(Ladder(id="more-prefetch", steps=steps, at=lambda count: _prefetch(s, count), reach=MOST_PREFETCH))
    return [ladder for ladder in found if ladder.steps]


def single_cures(s: Situation) -> list[Cure]:
    """Return the changes that are made or not."""
    candidates = (
        _out_of_order(s), _larger_batches(s), _less_tracing(s), _page_cache(s), _cheaper_preparation(s),
        _larger_objects(s), *_stores(s), _faster_link(s),
    )  # fmt: skip
    return [cure for cure in candidates if cure is not None]


def together(s: Situation, cures: list[Cure]) -> Cure:
    """Return several changes of the loader's flags as one."""
    parts = {name: value for cure in cures for name in _KNOBS if (value := getattr(cure.change, name)) is not None}
    settings = {key: text for cure in cures for key, text in cure.settings.items()}
    action = " and ".join(cure.action for cure in cures)
    memory: Cost = "more memory"
    cost = memory if any(cure.cost == memory for cure in cures) else "free: a flag"
    return Cure(id="flags-together", cost=cost, action=action, change=Change(**parts), settings=settings)


_KNOBS = ("workers", "prefetch", "in_order")


def more_cores(s: Situation, best: Cure | None) -> Cure:
    """Return twice the CPUs, with the change of flags that helps most on these, and a worker for each at least."""
    cores = 2 * s.setting.cores
    known = {name: getattr(best.change, name) for name in _KNOBS} if best is not None else {}
    wanted = known.get("workers") or s.setting.workers
    workers = max(wanted, round(cores)) if wanted else 0
    with_them = f" with {workers} workers" if workers != s.setting.workers else ""
    return Cure(
        id="more-cores",
        cost="more cores",
        action=f"{cores:g} CPUs instead of {s.setting.cores:g}{with_them}",
        change=Change(**{**known, "cores": cores, "workers": workers}),
        evidence={"cores": s.setting.cores, "workers": s.setting.workers},
    )


def _workers(s: Situation, count: int) -> Cure:
    is_more = count > s.setting.workers
    held = count * s.setting.prefetch * s.batch_bytes
    told = "no worker processes" if count == 0 else f"{count} worker{'' if count == 1 else 's'}"
    evidence: dict[str, float | str] = {"workers": s.setting.workers, "cores": s.setting.cores}
    return Cure(
        id="more-workers" if is_more else "fewer-workers",
        cost=_cost_of_room(s, held) if is_more else "free: a flag",
        action=f"{told} instead of {s.setting.workers}",
        change=Change(workers=count),
        settings={("loader", "workers"): str(count)},
        evidence=evidence | ({"bytes_ahead": held} if is_more else {}),
    )


def _more_workers(s: Situation) -> tuple[int, ...]:
    now = max(1, s.setting.workers)
    counts = [1] if s.setting.workers == 0 else []
    counts += [now + 1] if now > 1 else []
    counts += [now << step for step in range(1, 7) if now << step <= MOST_WORKERS]
    return tuple(count for count in counts if _fits(s, count * s.setting.prefetch))


def _fewer_workers(s: Situation) -> tuple[int, ...]:
    now = s.setting.workers
    counts = sorted({now // 2, 1} - {0, now}, reverse=True) if now > 1 else []
    is_slower = s.no_workers_per_s is not None and s.no_workers_per_s > s.delivered_per_s
    return tuple(counts) + ((0,) if is_slower and now else ())


def _prefetch(s: Situation, count: int) -> Cure:
    held = count * s.setting.workers * s.batch_bytes
    return Cure(
        id="more-prefetch",
        cost=_cost_of_room(s, held),
        action=f"{count} batches ahead for each worker instead of {s.setting.prefetch}",
        change=Change(prefetch=count),
        settings={("loader", "prefetch"): str(count)},
        evidence={"prefetch": s.setting.prefetch, "bytes_ahead": held},
    )


def _more_prefetch(s: Situation) -> tuple[int, ...]:
    counts = [s.setting.prefetch << step for step in range(1, 6)]
    return tuple(count for count in counts if count <= MOST_PREFETCH and _fits(s, count * s.setting.workers))


def _fits(s: Situation, batches: int) -> bool:
    room = _room_bytes(s.run)
    return room is None or batches * s.batch_bytes <= room * _ROOM_SHARE


def _cost_of_room(s: Situation, held_bytes: float) -> Cost:
    room = _room_bytes(s.run)
    return "more memory" if room is not None and held_bytes > room * _MEMORY_COST_SHARE else "free: a flag"


def _room_bytes(run: RunRecord) -> float | None:
    facts = (run.host.get(name) for name in ("dev_shm_free_bytes", "memory_available_bytes", "cgroup_memory_bytes"))
    return min((float(one) for one in facts if isinstance(one, int | float) and one > 0), default=None)


def _out_of_order(s: Situation) -> Cure | None:
    if not s.setting.in_order or s.setting.workers < 2 or s.is_at_store_limit:
        return None
    if "in_order" not in s.run.spec.get("loader", {}):
        return None
    return Cure(
        id="out-of-order",
        cost="free: a flag",
        action="batches delivered as they come, not in the order asked for",
        change=Change(in_order=False),
        settings={("loader", "in_order"): "false"},
        evidence={"in_order_share_of_idle": s.idle_by_cause.get("in_order", 0.0)},
    )


def _larger_batches(s: Situation) -> Cure | None:
    if "batch_size" not in s.run.spec.get("loader", {}) or not _fits(s, 2 * s.setting.workers * s.setting.prefetch):
        return None
    size = 2 * s.setting.batch_size
    settings = {("loader", "batch_size"): str(size)}
    busy_ns = s.run.accelerator.busy_ns_per_batch
    if busy_ns and s.run.spec.get("accelerator", {}).get("compute") is not None:
        settings["accelerator", "compute"] = exact_duration(2 * busy_ns)
    return Cure(
        id="larger-batches",
        cost="free: a flag",
        action=f"batches of {size} instead of {s.setting.batch_size} (which changes the training)",
        change=Change(batch_size=size),
        settings=settings,
        evidence={"batch_size": s.setting.batch_size},
    )


def _less_tracing(s: Situation) -> Cure | None:
    share = s.tracing_share
    if share is None or share < _WORTH_A_SHARE:
        return None
    factors = dict.fromkeys((*STORAGE_STAGES, Stage.DECODE, Stage.COLLATE), 1.0 - min(share, 0.9))
    return Cure(
        id="less-tracing",
        cost="free: a flag",
        action="tracing that asks less of the workers",
        change=Change(stage_factors=factors),
        settings={("run", "cache_evidence"): "off"},
        evidence={"tracing_share_of_worker_time": share},
    )


def _page_cache(s: Situation) -> Cure | None:
    """On a throttled store it would change nothing: there every operation is slowed, also those served from memory."""
    hits, facts = s.client_hit_ratio, s.run.store
    is_cached_here = "filesystem" in facts and not facts.get("is_memory") and "throttle" not in facts
    size, memory = s.run.workload.total_bytes, s.run.host.get("memory_available_bytes")
    if hits is None or hits > 1 - _WORTH_A_SHARE or not is_cached_here or size is None:
        return None
    has_room = isinstance(memory, int | float) and size < memory * _ROOM_SHARE
    room = f", of which {format_bytes(float(memory))} are free" if isinstance(memory, int | float) else ""
    return Cure(
        id="page-cache",
        cost="more memory",
        action=f"the dataset ({format_bytes(size)}) kept in this host's memory{room}",
        change=Change(client_hit_ratio=1.0),
        settings={("run", "cache"): "warm"} if has_room else {},
        evidence={"client_hit_ratio": hits, "dataset_bytes": size},
    )


def _cheaper_preparation(s: Situation) -> Cure | None:
    spent_ns = sum(kind.total_ns for kind in s.totals)
    decode_ns = sum(kind.total_ns for kind in s.totals if kind.kind == Kind.DECODE)
    if decode_ns <= spent_ns * _WORTH_A_SHARE:
        return None
    asked = s.run.spec.get("workload", {}).get("decode")
    settings = {("workload", "decode"): exact_duration(round(asked / 2))} if isinstance(asked, int) and asked else {}
    return Cure(
        id="cheaper-preparation",
        cost="cheaper preparation",
        action="samples decoded in half the CPU time: prepared beforehand, smaller, or by other code",
        change=Change(stage_factors={Stage.DECODE: 0.5}),
        settings=settings,
        evidence={"decode_share_of_operations": decode_ns / spent_ns},
    )


def _larger_objects(s: Situation) -> Cure | None:
    """Many samples in one object cost no name operations; that reads get larger too is not counted on."""
    opens = sum(kind.count for kind in s.totals if kind.kind == Kind.OPEN)
    if s.samples <= 0 or opens < s.samples / 2:
        return None
    settings = {("loader", "batch_size"): str(s.setting.batch_size)}
    busy_ns = s.run.accelerator.busy_ns_per_batch
    if busy_ns:
        settings["accelerator", "compute"] = exact_duration(busy_ns)
    if s.run.loader == "torch-map":
        settings["loader", "name"] = "torch-iterable"
    return Cure(
        id="larger-objects",
        cost="other format",
        action="many samples in each object (shards): no stat, open and close for every one; read in another order, so "
        "its run compares only roughly",
        change=Change(stage_factors=dict.fromkeys(_PER_OBJECT, 0.0)),
        settings=settings,
        workload="streaming-shards",
        evidence={"opens_per_sample": opens / s.samples},
    )


def _stores(s: Situation) -> list[Cure]:
    """A faster store, in the way that fits: bandwidth where reads are large, operations per second where not."""
    reads = [kind for kind in s.totals if kind.kind in READ_KINDS]
    count = sum(kind.count for kind in reads)
    if not count:
        return []
    mean_bytes = sum(kind.bytes for kind in reads) / count
    throttled = str(s.run.store.get("throttle", ""))
    kind = store_bound(metadata_share=0.0, bytes_share=s.bytes_share, is_growing=False, read_bytes=mean_bytes)
    is_bandwidth = kind == "storage-bandwidth"
    if throttled and s.bytes_share is None:
        is_bandwidth = "bandwidth=" in throttled and ("iops=" not in throttled or is_bandwidth)
    each = {"mean_read_bytes": mean_bytes, "reads": float(count)}
    if is_bandwidth:
        more = _store(s, "store-bandwidth", "twice the bandwidth", Change(store_bandwidth_factor=2.0), each)
    else:
        more = _store(s, "store-iops", "twice the operations per second", Change(store_iops_factor=2.0), each)
    if s.is_at_store_limit:
        return [more]
    return [_store(s, "store-latency", "half the latency", Change(store_latency_factor=0.5), each), more]


def _store(s: Situation, name: CureId, told: str, change: Change, evidence: dict[str, float]) -> Cure:
    """A throttled store becomes another one by its address; of a real one only the prediction can be had."""
    stronger = stronger_url(str(s.run.spec.get("store", {}).get("url", "")), name)
    return Cure(
        id=name,
        cost="other storage",
        action=f"a store with {told}",
        change=change,
        settings={} if stronger is None else {("store", "url"): stronger},
        predicted_by=None if s.directory is None else ("ioprof", "predict", str(s.directory), *_STRONGER[name]),
        evidence=evidence,
    )


_STRONGER: dict[CureId, tuple[str, str]] = {
    "store-latency": ("--store-latency", "x0.5"),
    "store-bandwidth": ("--store-bandwidth", "x2"),
    "store-iops": ("--store-iops", "x2"),
}


def _faster_link(s: Situation) -> Cure | None:
    share = s.idle_by_cause.get("transfer", 0.0)
    if share < _WORTH_A_SHARE:
        return None
    rate = s.run.accelerator.h2d_bytes_per_s
    return Cure(
        id="faster-link",
        cost="other host",
        action="batches copied to the accelerator in half the time",
        change=Change(stage_factors={Stage.TRANSFER: 0.5}),
        evidence={"transfer_share_of_idle": share}
        | ({"h2d_bytes_per_s": f"{format_count(rate)}"} if rate is not None else {}),
    )
