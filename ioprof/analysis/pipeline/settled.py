"""What only a replay of the run as it was can tell apart: what batches cost, and what they made each other wait."""

from __future__ import annotations

from dataclasses import replace

from ioprof.analysis.pipeline.applied import layout_of, load_of
from ioprof.analysis.pipeline.basis import Measured
from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.load import Layout, Load
from ioprof.analysis.pipeline.notes import Notes
from ioprof.analysis.pipeline.replay import replay

_ROUNDS = 3
_MOST_BATCHES = 1500


def settled(measured: Measured) -> Measured:
    """Return the same with a replay of the run taking as long at each place as the run did.

    The replay makes batches wait for CPUs and for the store by itself. What was measured holds these waits too: they
    are taken out, by as much as the replay puts in. What it does not put in stays, as time that passes.
    """
    recipe = measured.recipe
    stored, queued = float(recipe.storage_blocked_ns.mean()), float(recipe.queue_ns.mean())
    received = measured.transport.received_ns
    for _ in range(_ROUNDS):
        load, layout = _as_it_was(measured)
        found = replay(load, layout)
        own_queue = found.cpu_ns - float(load.cpu_ns.mean())
        transport = measured.transport
        if received is not None:
            transport = replace(transport, unwrap_wait_ns=max(0.0, received - found.unwrap_ns))
        measured = replace(
            measured,
            wake_up_ratio=1.0 - own_queue / queued if queued > 0 else 0.0,
            base_ratio=measured.base_ratio * stored / found.store_ns if found.store_ns > 0 else 1.0,
            transport=transport,
        )
    return measured


def _as_it_was(measured: Measured) -> tuple[Load, Layout]:
    notes, nothing = Notes(), Change()
    load = load_of(measured, measured.setting, nothing, notes)
    if len(load) > _MOST_BATCHES:
        load = Load(**{name: getattr(load, name)[:_MOST_BATCHES] for name in load.__dataclass_fields__})
    return load, layout_of(measured, measured.setting, nothing, notes)
