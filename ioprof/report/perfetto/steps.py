"""The tracks of the consumer: the run's parts, the accelerator, the step loop, and the saves and restores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from ioprof.report.perfetto.events import EventWriter, Track
from ioprof.report.perfetto.packing import lanes_of
from ioprof.report.perfetto.selection import Columns, Stamps, Window, chosen, columns_of
from ioprof.trace.run_record import EpochRecord, RunRecord

_ROWS = 1 << 14
"""Rows that are plain Python numbers at a time."""


def rows(*columns: Stamps) -> Iterator[tuple[int, ...]]:
    """Yield the rows of some columns as plain numbers, a few thousand of them in memory at a time."""
    for first in range(0, len(columns[0]), _ROWS):
        yield from zip(*(column[first : first + _ROWS].tolist() for column in columns), strict=True)


def write_parts(writer: EventWriter, track: Track, run: RunRecord, window: Window) -> None:
    """Draw what the run consisted of: discovery, opening the loader, epochs."""
    parts: list[tuple[str, int, int]] = []
    if run.run_start_ns is not None and run.workload.discovery_s is not None:
        parts.append(("discovery", run.run_start_ns, run.run_start_ns + round(run.workload.discovery_s * 1e9)))
    if run.loader_open_ns is not None and run.epochs:
        parts.append(("open the loader", run.loader_open_ns, run.epochs[0].start_ns))
    parts += [(f"epoch {epoch.epoch}", epoch.start_ns, epoch.end_ns) for epoch in run.epochs]
    end_ns = 0
    for name, start_ns, stop_ns in sorted(parts, key=lambda part: part[1:]):
        # They follow each other; should clocks of a broken record say otherwise, the earlier one stands.
        if start_ns >= end_ns and stop_ns > start_ns and start_ns < window.end_ns and stop_ns >= window.start_ns:
            writer.slice(track.place, name, start_ns, stop_ns)
            end_ns = stop_ns


def write_step_loop(writer: EventWriter, track: Track, steps: Columns, flows: Stamps) -> None:
    """Draw each wait for a batch and each copy to the accelerator.

    Args:
        writer: of the trace.
        track: of the step loop.
        steps: those to draw.
        flows: number of the arrow that ends at each wait; negative: none.
    """
    place = track.place
    columns = (steps[name] for name in ("step", "batch", "wait_start_ns", "wait_end_ns", "h2d_end_ns"))
    for step, batch, wait_ns, held_ns, copied_ns, flow in rows(*columns, flows):
        if held_ns > wait_ns:
            writer.slice(place, "wait", wait_ns, held_ns, f'"step":{step},"batch":{batch}')
            if flow >= 0:
                writer.flow_in(place, wait_ns, flow)
        if copied_ns > held_ns:
            writer.slice(place, "copy", held_ns, copied_ns, f'"step":{step}')


def idle_before_ns(steps: Columns, epochs: list[EpochRecord]) -> Stamps:
    """Return since when the accelerator was idle before each step.

    Between epochs ioprof itself may pause: the idle time of an epoch's first step begins with the epoch.
    """
    since = np.concatenate([steps["wait_start_ns"][:1], steps["busy_end_ns"][:-1]])
    opened = {epoch.epoch: epoch.start_ns for epoch in epochs}
    for index in (np.flatnonzero(np.diff(steps["epoch"])) + 1).tolist():
        epoch_ns = opened.get(int(steps["epoch"][index]), int(steps["wait_start_ns"][index]))
        since[index] = max(int(since[index]), epoch_ns)
    clipped: Stamps = np.minimum(since, steps["busy_start_ns"])
    return clipped


def write_accelerator(writer: EventWriter, track: Track, steps: Columns, since_ns: Stamps, flows: Stamps) -> None:
    """Draw when the accelerator was busy and when it was idle, and end the arrows of the batches it used.

    Args:
        writer: of the trace.
        track: of the accelerator.
        steps: those to draw.
        since_ns: when the idle time before each of them began.
        flows: number of the arrow that ends at each; negative: none.
    """
    place = track.place
    columns = (steps[name] for name in ("step", "batch", "busy_start_ns", "busy_end_ns"))
    for step, batch, busy_ns, done_ns, idle_ns, flow in rows(*columns, since_ns, flows):
        if busy_ns > idle_ns:
            writer.slice(place, "idle", idle_ns, busy_ns, f'"step":{step}')
        if done_ns > busy_ns:
            writer.slice(place, "busy", busy_ns, done_ns, f'"step":{step},"batch":{batch}')
            if flow >= 0:
                writer.flow_in(place, busy_ns, flow)


def write_saves(writer: EventWriter, tracks: list[Track], saves: Columns) -> None:
    """Draw each save, from when it was due until it was durable, and each restore.

    Args:
        writer: of the trace.
        tracks: one for each lane; a save may be due before the one before it is durable.
        saves: of `saves_of`.
    """
    columns = (
        saves[name] for name in ("lane", "kind", "step", "start_ns", "blocked_end_ns", "end_ns", "bytes", "error")
    )
    for lane, kind, step, start_ns, blocked_ns, end_ns, size_bytes, error in rows(*columns):
        place = tracks[lane].place
        told = f'"step":{step},"bytes":{size_bytes},"error":{error}'
        writer.slice(place, "restore" if kind else "save", start_ns, end_ns, told)
        if start_ns < blocked_ns < end_ns:
            writer.slice(place, "step loop stands still", start_ns, blocked_ns)


def saves_of(checkpoints: pa.Table, window: Window) -> Columns:
    """Return the saves and restores to draw, as they began, with their end and the lane on which each has room."""
    names = ("step", "kind", "start_ns", "blocked_end_ns", "durable_ns", "bytes", "error")
    table = columns_of(checkpoints, names)
    table["end_ns"] = np.maximum(table["durable_ns"], table["blocked_end_ns"])
    order = np.argsort(table["start_ns"], kind="stable")
    table = {name: values[order] for name, values in table.items()}
    table = chosen(table, window.holds(table["start_ns"], table["end_ns"]))
    return table | {"lane": lanes_of(table["start_ns"], table["end_ns"]).astype(np.int64)}
