"""What only a replay of the run as it was can tell apart: what batches cost, and what they made each other wait."""

from __future__ import annotations

from dataclasses import replace

from ioprof.analysis.pipeline.applied import layout_of, load_of
from ioprof.analysis.pipeline.basis import Measured
from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.load import Layout, Load
from ioprof.analysis.pipeline.notes import Notes
from ioprof.analysis.pipeline.replay import replay
from ioprof.analysis.pipeline.transport import Transport

_ROUNDS = 4
_CROWDED = 1.15
"""Operations that last so many times as long as alone are near the store's ceiling."""
_LONGEST_WAKE_UP_NS = 200_000
"""What waking up onto a free CPU takes at most. Longer waits for a CPU that a replay does not explain are others' doing
or that of processes beside the workers: they do not stay where the host has less to do."""
_MOST_EVENTS = 50_000
"""Of one of these replays, about."""


def settled(measured: Measured) -> Measured:
    """Return the same with a replay of the run taking as long at each place as the run did.

    The replay makes batches wait for CPUs and for the store by itself. What was measured holds these waits too: they
    are taken out, by as much as the replay puts in. What it does not put in stays, as time that passes.
    """
    measured = _waited_as_in_run(measured)
    recipe = measured.recipe
    stored, queued = float(recipe.storage_blocked_ns.mean()), float(recipe.queue_ns.mean())
    for _ in range(_ROUNDS):
        load, layout = _as_it_was(measured)
        found = replay(load, layout)
        own_queue = found.cpu_ns - float(load.cpu_ns.mean())
        measured = replace(
            measured,
            wake_up_ratio=min(queued - own_queue, recipe.waits * _LONGEST_WAKE_UP_NS) / queued if queued > 0 else 0.0,
            # Others that use a CPU need not be in the way: who wakes up may go before them.
            other_load=measured.other_load * min(1.0, queued / own_queue) if own_queue > 0 else measured.other_load,
            base_ratio=_base_ratio(measured, stored, float(load.store_ns.mean()), found.store_ns),
            transport=_received_in_time(measured.transport, found.unwrap_ns),
        )
    return measured


def _base_ratio(measured: Measured, stored_ns: float, lone_ns: float, replayed_ns: float) -> float:
    """Return what lone operations take over what those of the run took.

    Near the store's ceiling they take as long as it takes the ceiling to come round to them, whatever they take alone:
    the run does not tell that, and the probe does.
    """
    if lone_ns <= 0 or replayed_ns <= 0:
        return 1.0
    lone_s = measured.curve.lone_s
    if replayed_ns > lone_ns * _CROWDED and lone_s is not None:
        return lone_s * 1e9 * float(measured.recipe.samples.mean()) / stored_ns
    return measured.base_ratio * stored_ns / replayed_ns


def _waited_as_in_run(measured: Measured) -> Measured:
    """Return the same with the wait for a store that nobody else uses put right where a throttle holds operations back.

    They last as long whatever is computed within: it is their length that is the same in the probe's processes, and
    what the run computes in them is not waited for. What the store gives at its ceiling stays.
    """
    recipe, curve = measured.recipe, measured.curve
    if measured.held_ratio <= 0 or curve.lone_held_s is None:
        return measured
    computed_s = float(recipe.storage_cpu_ns.mean() / recipe.samples.mean()) / 1e9
    waited_s = curve.lone_held_s - computed_s
    return replace(measured, curve=curve.waited_alone(waited_s)) if waited_s > 0 else measured


def _received_in_time(transport: Transport, replayed_ns: float) -> Transport:
    """Return the same with a batch that lies ready received in the time that was measured, if it was.

    What the replay lacks is a wait for something else than a CPU; where it takes longer, less is computed than thought.
    """
    measured_ns = transport.received_ns
    if measured_ns is None or replayed_ns <= 0:
        return transport
    shorter = min(1.0, measured_ns / replayed_ns)
    return replace(
        transport,
        unwrap_ns=transport.unwrap_ns * shorter,
        handover_ns=transport.handover_ns * shorter,
        unwrap_wait_ns=max(0.0, measured_ns - replayed_ns),
    )


def _as_it_was(measured: Measured) -> tuple[Load, Layout]:
    notes, nothing = Notes(), Change()
    layout = layout_of(measured, measured.setting, nothing, notes)
    return load_of(measured, measured.setting, nothing, notes).at_most(layout.batches_of(_MOST_EVENTS)), layout
