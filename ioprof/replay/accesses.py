"""The storage accesses of a recorded run, column by column, in the lanes in which they are repeated."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ioprof.errors import RunError
from ioprof.replay.lanes import lanes_of
from ioprof.replay.openings import with_openings
from ioprof.trace.kinds import CHECKPOINT_BATCH, STORAGE_KINDS, Kind
from ioprof.trace.trace import Trace

Column = NDArray[np.int64]
_Columns = dict[str, Column]

REPEATED = (Kind.LIST, Kind.STAT, Kind.OPEN, Kind.READ, Kind.CLOSE, Kind.GET, Kind.MAP, Kind.TOUCH)
"""Kinds that a replay repeats; all others write, or change names."""
UNKNOWN = -1
"""Stands for a value that was not recorded."""
_BIGGEST = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, kw_only=True)
class Accesses:
    """Operations of one column each; all columns have the same length, and no operation failed when it was recorded."""

    lane: Column
    """Who repeats it, from 0: one lane per worker, more where a worker did several things at once."""
    epoch: Column
    batch: Column
    kind: Column
    start_ns: Column
    duration_ns: Column
    size_bytes: Column
    object: Column
    """Object index; -1 where it has none."""
    offset: Column
    """Where in the object it began; -1: not known."""
    direct: Column
    """1: opened around the page cache; 0: not, or not known."""

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def end_ns(self) -> Column:
        """When each ended."""
        return self.start_ns + self.duration_ns

    def where(self, chosen: NDArray[np.bool_] | Column) -> Accesses:
        """Return the chosen ones, by mask or by place."""
        return Accesses(**{one.name: getattr(self, one.name)[chosen] for one in fields(self)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What of a run can be repeated, and what cannot."""

    loading: Accesses
    """By the workers, sorted by lane and start."""
    discovery: Accesses
    """By the consumer before the loader was opened; all in lane 0."""
    lanes: int
    epochs: int
    left_out: dict[str, int]
    """Operations that are not repeated, by why."""
    openings: int
    """Objects that are openings, as the run does not say of which object these operations were."""
    offsets_known: bool
    """False: some reads do not say where they began."""


def recorded(trace: Trace) -> Recorded:
    """Return the accesses of a run.

    Raises:
        RunError: it has no spans, or none that can be repeated.
    """
    left_out: dict[str, int] = {}
    every = _repeatable(_spans(trace), left_out)
    every, openings = with_openings(every)
    discovering = _is_discovery(every)
    found = {name: values[~discovering] for name, values in every.items()}
    if not len(found["kind"]):
        raise RunError(
            f"no operation of the run can be repeated ({_told(left_out)}); replay needs the spans of a run that read"
        )
    lane, lanes = lanes_of(found)
    epoch, epochs = _epochs(found["start_ns"], [one.start_ns for one in trace.run.epochs])
    loading = _accesses(found, lane, epoch)
    nothing = np.zeros(int(np.count_nonzero(discovering)), dtype=np.int64)
    discovery = _accesses({name: values[discovering] for name, values in every.items()}, nothing, nothing)
    reading = np.isin(loading.kind, (Kind.READ, Kind.GET, Kind.TOUCH))
    return Recorded(
        loading=loading.where(np.lexsort((loading.start_ns, loading.lane))),
        discovery=discovery.where(np.argsort(discovery.start_ns, kind="stable")),
        lanes=lanes,
        epochs=epochs,
        left_out=left_out,
        openings=openings,
        offsets_known=not bool((loading.offset[reading] == UNKNOWN).any()),
    )


def _repeatable(every: _Columns, left_out: dict[str, int]) -> _Columns:
    """Return what can be repeated; say in ``left_out`` what cannot, and why."""
    every = _without(every, every["batch"] == CHECKPOINT_BATCH, "of checkpoints", left_out)
    every = _without(every, ~np.isin(every["kind"], STORAGE_KINDS), "", left_out)
    every = _without(every, every["error"] != 0, "failed when they were recorded", left_out)
    every = _without(every, ~np.isin(every["kind"], REPEATED), "write or change names", left_out, with_objects=True)
    mapped = np.isin(every["object"], every["object"][every["kind"] == Kind.TOUCH])
    mapped &= np.isin(every["kind"], (Kind.OPEN, Kind.MAP, Kind.CLOSE))
    every = _without(every, mapped, "map a file, which its first access does again", left_out)
    named = np.isin(every["kind"], (Kind.LIST, Kind.STAT))
    return _without(every, _is_discovery(every) & ~named, "read objects before the loader was opened", left_out)


def _is_discovery(every: _Columns) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (every["worker"] <= -2) & (every["batch"] == -1)
    return found


def _told(left_out: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {why}" for why, count in left_out.items()) or "there are no storage operations"


_COLUMNS = ("rank", "worker", "batch", "kind", "start_ns", "duration_ns", "bytes", "object", "error")
_ADDED = ("offset", "direct")


def _spans(trace: Trace) -> _Columns:
    parts: dict[str, list[Column]] = {name: [] for name in (*_COLUMNS, *_ADDED)}
    for batch in trace.spans():
        for name in _COLUMNS:
            parts[name].append(batch.column(name).to_numpy().astype(np.int64))
        for name, unknown in (("offset", UNKNOWN), ("direct", 0)):
            parts[name].append(_added(batch, name, unknown))
    if not parts["kind"]:
        raise RunError(
            "the run has no spans, and replay repeats them one by one: "
            + (
                "none of its storage operations was traced (native or mapped reads, or a loader watched from outside)"
                if trace.has_spans
                else "they were left out when it was published (spans.parquet is missing)"
            )
        )
    return {name: np.concatenate(values) for name, values in parts.items()}


def _added(batch: pa.RecordBatch, name: str, unknown: int) -> Column:
    """Return a column that older runs do not have."""
    if name not in batch.schema.names:
        return np.full(batch.num_rows, unknown, dtype=np.int64)
    found: Column = batch.column(name).cast(pa.int64()).fill_null(unknown).to_numpy(zero_copy_only=False)
    return found


def _without(
    every: _Columns, chosen: NDArray[np.bool_], why: str, left_out: dict[str, int], *, with_objects: bool = False
) -> _Columns:
    """Leave operations out, and with them all others of the same objects where that is asked for."""
    if with_objects:
        chosen = chosen | (np.isin(every["object"], every["object"][chosen]) & (every["object"] >= 0))
    count = int(np.count_nonzero(chosen))
    if count and why:
        left_out[why] = left_out.get(why, 0) + count
    return {name: values[~chosen] for name, values in every.items()} if count else every


def _epochs(start_ns: Column, begun_ns: list[int]) -> tuple[Column, int]:
    """Return the epoch of each operation, numbered without gaps, and how many there are."""
    borders = np.array(sorted(begun_ns), dtype=np.int64)
    epoch = np.maximum(np.searchsorted(borders, start_ns, side="right") - 1, 0)
    present, numbered = np.unique(epoch, return_inverse=True)
    return numbered.astype(np.int64), len(present)


def _accesses(found: _Columns, lane: Column, epoch: Column) -> Accesses:
    return Accesses(
        lane=lane, epoch=epoch, batch=found["batch"], kind=found["kind"], start_ns=found["start_ns"],
        duration_ns=found["duration_ns"], size_bytes=found["bytes"], object=found["object"],
        offset=found["offset"], direct=found["direct"],
    )  # fmt: skip
