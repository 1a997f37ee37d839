"""From what was measured and what is to be different to the load and the layout of a replay."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ioprof.analysis.pipeline.basis import Measured, Setting
from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.load import Layout, Load
from ioprof.analysis.pipeline.notes import Notes
from ioprof.analysis.pipeline.pieces import STORAGE_STAGES, Stage
from ioprof.analysis.pipeline.recipe import Recipe
from ioprof.analysis.pipeline.store_curve import StoreCurve
from ioprof.analysis.pipeline.transport import SEND_NS_PER_MIB, UNWRAP_NS_PER_MIB
from ioprof.errors import RunError

Floats = NDArray[np.float64]

_PIN_BYTES_PER_NS = 8.0
_MOST_PARTS = 32
_HARDLY_BLOCKED = 0.02
"""Where storage operations waited for less of the time, the store plays no part."""
_HARDLY = 1.1
"""A curve that never rises above this shows no ceiling."""


def load_of(measured: Measured, setting: Setting, change: Change, notes: Notes) -> Load:
    """Return the load of a replay.

    Raises:
        RunError: what a page-cache miss costs is asked for, and the run had none.
    """
    recipe, transport, factors = measured.recipe, measured.transport, change.stage_factors
    storage = _storage_factor(measured.shares, factors)
    cpu = (
        recipe.storage_cpu_ns * (1.0 if measured.held_ratio > 0 else storage)
        + recipe.prep_cpu_ns * _prep_factor(factors, notes)
        + recipe.loader_cpu_ns * factors.get(Stage.LOADER, 1.0)
        + recipe.collate_cpu_ns * factors.get(Stage.COLLATE, 1.0)
    )
    if measured.held_ratio > 0:
        store = _held_ns(measured, storage * (change.store_latency_factor or 1.0), change.cpu_speed_factor or 1.0)
    else:
        store = recipe.storage_blocked_ns * storage
    store = store * measured.base_ratio * _miss_factor(recipe, change, notes)
    count, ipc = len(recipe), factors.get(Stage.IPC, 1.0)
    load = Load(
        samples=recipe.samples,
        store_ns=store,
        cpu_ns=cpu,
        blocked_ns=np.clip(recipe.blocked_ns + measured.wake_up_ratio * recipe.queue_ns, 0.0, None),
        send_ns=np.full(count, transport.send_ns * ipc),
        send_wait_ns=np.full(count, transport.send_wait_ns * ipc),
        after_ns=np.full(count, transport.after_ns * ipc),
        unwrap_ns=np.full(count, transport.unwrap_ns * ipc),
        handover_ns=np.full(count, transport.handover_ns * ipc),
        unwrap_wait_ns=np.full(count, transport.unwrap_wait_ns * ipc),
        pin_ns=recipe.size_bytes / _PIN_BYTES_PER_NS * factors.get(Stage.PIN, 1.0),
        transfer_ns=recipe.transfer_ns * factors.get(Stage.TRANSFER, 1.0),
        busy_ns=recipe.busy_ns,
        before_ns=recipe.before_ns,
        opens=np.concatenate([[True], np.diff(recipe.epoch) != 0]),
    )
    if change.cpu_speed_factor is not None:
        load = _at_speed(load, change.cpu_speed_factor, notes)
    if setting.batch_size != measured.setting.batch_size:
        mib = float(recipe.size_bytes.mean()) / 2**20
        load = _regrouped(load, measured.setting.batch_size, setting.batch_size, mib, notes)
    if setting.workers == 0:
        count = len(load)
        return replace(
            load,
            unwrap_ns=np.full(count, transport.inline_ns / (change.cpu_speed_factor or 1.0)),
            handover_ns=np.zeros(count),
            unwrap_wait_ns=np.zeros(count),
            busy_ns=_busy(load.busy_ns, measured, setting, change),
        )
    between_ns = transport.between_ns / (change.cpu_speed_factor or 1.0)
    load = replace(load, cpu_ns=load.cpu_ns + between_ns)
    return replace(load, busy_ns=_busy(load.busy_ns, measured, setting, change))


def _held_ns(measured: Measured, factor: float, speed: float) -> Floats:
    """Return what is waited for in operations that a throttle holds back: what it asks for, and is not computed anyway.

    An operation that is held back lasts until a moment: what it computes before that makes it no longer, and all of
    that time grows with the factor.
    """
    recipe = measured.recipe
    lasted_ns = recipe.storage_blocked_ns + recipe.storage_cpu_ns
    asked_ns = np.minimum(lasted_ns, (lasted_ns + recipe.queue_ns) * measured.held_ratio)
    rest_ns = lasted_ns - asked_ns - recipe.storage_cpu_ns / speed
    return np.clip(asked_ns * factor + rest_ns, 0.0, None)


def layout_of(measured: Measured, setting: Setting, change: Change, notes: Notes) -> Layout:
    """Return the layout of a replay."""
    curve = _curve(measured, setting, change, notes)
    return Layout(
        workers=setting.workers,
        prefetch=setting.prefetch,
        in_order=setting.in_order,
        pin=setting.pin and setting.workers > 0,
        cores=setting.cores,
        other_load=measured.other_load,
        ranks=setting.ranks_per_host,
        hosts=setting.hosts,
        slowdown=curve.slowdown,
        wake_ns=measured.transport.wake_ns,
        parts=_parts(measured, setting),
    )


def _parts(measured: Measured, setting: Setting) -> int:
    """Return in how many turns a batch is made; of many ranks in fewer, which would take too long to replay."""
    waits = measured.recipe.waits * setting.batch_size / measured.setting.batch_size
    return max(1, min(round(waits), _MOST_PARTS // setting.ranks_per_host))


def _storage_factor(shares: Mapping[Stage, float], factors: Mapping[Stage, float]) -> float:
    asked = [stage for stage in STORAGE_STAGES if stage in factors]
    return 1.0 + sum(shares.get(stage, 0.0) * (factors[stage] - 1.0) for stage in asked)


def _prep_factor(factors: Mapping[Stage, float], notes: Notes) -> float:
    if Stage.AUGMENT in factors and Stage.DECODE not in factors:
        notes.assume("Decoding and augmenting were recorded as one: the factor of augment was not applied.")
    return factors.get(Stage.DECODE, 1.0)


def _miss_factor(recipe: Recipe, change: Change, notes: Notes) -> float:
    """Return the time blocked in storage with another hit ratio, over that as measured."""
    wanted = change.client_hit_ratio
    if wanted is None:
        return 1.0
    if recipe.hit_ratio is None:
        raise RunError(
            "what the page cache served of this run is not known, so no other hit ratio can be predicted; "
            "run it on a local store with --cache cold"
        )
    if recipe.hit_ratio > 0.98 and wanted < recipe.hit_ratio:
        raise RunError(
            f"the page cache served {recipe.hit_ratio:.0%} of this run, so what a miss costs is not known; "
            "run it with --cache cold and predict from that"
        )
    notes.assume(
        "A read that the page cache serves never waits for the store, and names and inodes are cached as often as data."
    )
    return (1.0 - wanted) / max(1e-9, 1.0 - recipe.hit_ratio)


_COMPUTED = ("cpu_ns", "send_ns", "after_ns", "unwrap_ns", "handover_ns", "pin_ns")


def _at_speed(load: Load, factor: float, notes: Notes) -> Load:
    """Return the same load on CPUs so many times as fast."""
    notes.assume(f"All that computes takes 1 / {factor:.3g} of what it took; what only waits stays.")
    return replace(load, **{name: getattr(load, name) / factor for name in _COMPUTED})


def _regrouped(load: Load, size: int, wanted: int, mib: float, notes: Notes) -> Load:
    """Return the same samples in batches of another size, epoch by epoch; what takes time in them is dealt out anew."""
    ratio = wanted / size
    notes.assume(
        "What a batch takes grows with its samples, on the accelerator too; what moving it takes, with its bytes."
    )
    starts = np.flatnonzero(load.opens)
    ends = [*starts[1:].tolist(), len(load)]
    parts = [_epoch_regrouped(load, low, high, wanted) for low, high in zip(starts.tolist(), ends, strict=True)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    count = len(joined["samples"])
    grows = {"send_ns": SEND_NS_PER_MIB, "unwrap_ns": UNWRAP_NS_PER_MIB}
    kept = {"send_ns", "send_wait_ns", "after_ns", "unwrap_ns", "unwrap_wait_ns", "handover_ns"}
    moved = {
        name: np.full(count, _scaled_cost(float(getattr(load, name)[0]), grows.get(name, 0.0) * mib, ratio))
        for name in kept
    }
    return replace(load, **(joined | moved))


_SUMMED = ("store_ns", "cpu_ns", "blocked_ns", "pin_ns", "transfer_ns", "busy_ns", "before_ns")


def _epoch_regrouped(load: Load, low: int, high: int, wanted: int) -> dict[str, NDArray[np.generic]]:
    until = np.concatenate([[0], np.cumsum(load.samples[low:high])])
    bounds = np.unique(np.append(np.arange(0, until[-1], wanted), until[-1]))
    if len(bounds) > 2 and bounds[-1] - bounds[-2] < wanted:
        bounds = bounds[:-1]  # an incomplete last one: the window cut it off, not the epoch
    parts: dict[str, NDArray[np.generic]] = {"samples": np.diff(bounds).astype(np.int64)}
    for name in _SUMMED:
        total = np.concatenate([[0.0], np.cumsum(getattr(load, name)[low:high])])
        parts[name] = np.diff(np.interp(bounds, until, total))
    parts["opens"] = np.arange(len(bounds) - 1) == 0
    return parts


def _scaled_cost(cost_ns: float, growing_ns: float, ratio: float) -> float:
    """Return a cost of which so much, at most all of it, grows."""
    return cost_ns + min(growing_ns, cost_ns) * (ratio - 1.0)


def _busy(busy_ns: Floats, measured: Measured, setting: Setting, change: Change) -> Floats:
    wanted, asked = change.busy_ns_per_batch, measured.asked_busy_ns
    if wanted is None:
        return busy_ns
    if asked is None or asked == 0:
        return np.full(len(busy_ns), float(wanted))
    asked_now = asked * setting.batch_size / measured.setting.batch_size
    if measured.is_busy_drawn:
        return busy_ns * (wanted / asked_now)
    return np.clip(busy_ns - asked_now + wanted, 0.0, None) if wanted else np.zeros(len(busy_ns))


def _curve(measured: Measured, setting: Setting, change: Change, notes: Notes) -> StoreCurve:
    latency, bandwidth, iops = change.store_latency_factor, change.store_bandwidth_factor, change.store_iops_factor
    curve = measured.curve
    requests = setting.hosts * setting.ranks_per_host * max(1, setting.workers)
    _note_reach(curve, requests, measured, notes)
    if latency is None and bandwidth is None and iops is None:
        return curve
    given = [factor for factor in (bandwidth, iops) if factor is not None]
    if given and not curve.is_ceiling and curve.slowdowns[-1] < _HARDLY:
        notes.assume(
            "The probe found no ceiling of the store, so more bandwidth or operations per second change little."
        )
    elif given:
        what = " and ".join(
            name for name, factor in (("bandwidth", bandwidth), ("operations per second", iops)) if factor is not None
        )
        notes.assume(f"The store's ceiling is that of its {what}.")
    return replace(
        curve,
        latency_factor=1.0 if measured.held_ratio > 0 else latency or 1.0,
        capacity_factor=min(given, default=1.0),
        transfer_ratio=curve.transfer_ratio if bandwidth is not None else 0.0,
    )


def _note_reach(curve: StoreCurve, requests: int, measured: Measured, notes: Notes) -> None:
    recipe = measured.recipe
    blocked, computed = float(recipe.storage_blocked_ns.sum()), float(recipe.worker_cpu_ns.sum())
    if blocked <= _HARDLY_BLOCKED * (blocked + computed):
        return
    before = measured.setting.hosts * measured.setting.ranks_per_host * max(1, measured.setting.workers)
    if not curve.is_measured and requests > before:
        notes.beyond("The store was not probed: it is taken to serve any number of requests at once as fast as these.")
    elif requests > curve.concurrency[-1] and not curve.is_ceiling and requests > before:
        notes.beyond(
            f"The store was probed with up to {curve.concurrency[-1]:.0f} requests at once and showed no ceiling; "
            f"up to {requests} may be made."
        )
