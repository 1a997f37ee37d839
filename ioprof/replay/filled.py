"""Runs of which only some batches were traced in full: the others repeat the operations of one that was."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ioprof.analysis.wording import percent
from ioprof.errors import RunError
from ioprof.replay.accesses import Accesses, Column, Recorded
from ioprof.trace.sampling import is_sampled
from ioprof.trace.trace import Trace


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A recorded run with as many batches as it had."""

    recorded: Recorded
    filled_ratio: float
    """Share of the batches that repeat another one's operations, 0.0 to 1.0."""
    caveats: tuple[str, ...] = ()


def kept_ratio(trace: Trace) -> float:
    """Return the share of the run's batches whose operations were kept, if they had any; 0.0 to 1.0."""
    batches = trace.batches["batch"].to_pylist()
    return sum(is_sampled(batch, trace.run.sample_every) for batch in batches) / len(batches) if batches else 1.0


def refuse_sampled(trace: Trace, ratio: float) -> None:
    """Refuse a run of which batches are missing.

    Raises:
        RunError: it says how to record it whole, and how to go on without.
    """
    if ratio < 1.0:
        raise RunError(
            f"the run kept the operations of {percent(ratio)} of its batches (1 in {trace.run.sample_every:,}): record "
            "it again with --set run.overhead_budget=1 and a larger run.span_budget to have them all, or give --fill "
            "to let the others repeat those that were kept"
        )


def filled(trace: Trace, recorded: Recorded, equal_objects: int) -> Filled:
    """Let each batch whose operations were not kept do what the nearest kept one of its worker did, at its own time.

    Args:
        trace: the run.
        recorded: what was kept.
        equal_objects: number of objects where all are equally large: others are read then than by the batch that is
            repeated; 0: they are not.

    Raises:
        RunError: there is no kept batch to repeat.
    """
    loading = recorded.loading
    rows = _batches(trace.batches)
    kept = np.array([is_sampled(batch, trace.run.sample_every) for batch in rows["batch"].tolist()], dtype=np.bool_)
    if kept.all():
        return Filled(recorded=recorded, filled_ratio=0.0)
    if not kept.any():
        raise RunError("no batch of the run was traced in full: there is nothing to repeat")
    parts, order = [loading], np.argsort(loading.batch, kind="stable")
    borders = loading.batch[order]
    for place in np.flatnonzero(~kept):
        model = _model(rows, kept, int(place))
        first, stop = np.searchsorted(borders, [rows["batch"][model], rows["batch"][model] + 1])
        part = loading.where(np.sort(order[first:stop]))
        shift_ns = int(rows["fetch_start_ns"][place] - rows["fetch_start_ns"][model])
        parts.append(_moved(part, int(rows["batch"][place]), int(rows["epoch"][place]), shift_ns, equal_objects))
    joined = _joined(parts)
    ratio = float(np.count_nonzero(~kept) / len(kept))
    told = "other objects than those did" if equal_objects else "the same objects, which caches may serve"
    caveat = (
        f"{percent(ratio)} of the batches repeat what other batches did, as their own operations were not kept; "
        f"they read {told}."
    )
    return Filled(
        recorded=replace(recorded, loading=joined.where(np.lexsort((joined.start_ns, joined.lane)))),
        filled_ratio=ratio,
        caveats=(caveat,),
    )


def _batches(table: pa.Table) -> dict[str, Column]:
    known = table.filter(pc.is_valid(table["fetch_start_ns"]))
    return {name: known[name].to_numpy().astype(np.int64) for name in ("batch", "worker", "epoch", "fetch_start_ns")}


def _model(rows: dict[str, Column], kept: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], place: int) -> int:
    """Return the place of the kept batch that is nearest in number, of the same worker where that has one."""
    same = np.flatnonzero(kept & (rows["worker"] == rows["worker"][place]))
    candidates = same if len(same) else np.flatnonzero(kept)
    return int(candidates[np.argmin(np.abs(rows["batch"][candidates] - rows["batch"][place]))])


def _moved(part: Accesses, batch: int, epoch: int, shift_ns: int, equal_objects: int) -> Accesses:
    objects = part.object
    if equal_objects:
        # Multiples of a large odd number spread over the objects: two batches seldom come to the same ones.
        moved = (objects + (batch + 1) * 2_654_435_761) % equal_objects
        objects = np.where(objects >= 0, moved, objects)
    return replace(
        part,
        batch=np.full(len(part), batch, dtype=np.int64),
        epoch=np.full(len(part), epoch, dtype=np.int64),
        start_ns=part.start_ns + shift_ns,
        object=objects,
    )


def _joined(parts: list[Accesses]) -> Accesses:
    return Accesses(
        **{one.name: np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(Accesses)}
    )
