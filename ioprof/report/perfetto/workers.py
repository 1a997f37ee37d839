"""The tracks of the workers: their batches, the stages of each, and inside those the operations that were kept.

A worker's operations nest in its batches, unless threads of its own do them side by side, or the program around it
does more than batches. What does not nest gets further tracks of the same worker.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ioprof.report.perfetto.events import EventWriter, Track
from ioprof.report.perfetto.operations import WorkerOperations
from ioprof.report.perfetto.packing import Lane, Lanes, lanes_of, packed
from ioprof.report.perfetto.selection import Columns, Stamps, chosen
from ioprof.report.perfetto.steps import rows
from ioprof.trace.kinds import Kind, error_name

CONSUMER = -1
DISCOVERY = -2
_COUNTS = ("samples", "bytes", "storage_ns", "prep_ns", "on_cpu_ns", "run_queue_ns", "blocked_ns", "client_hit_bytes")
_LABELS = {int(kind): kind.label for kind in Kind}
_BATCH, _FETCH, _COLLATE, _OPERATION = range(4)
"""What encloses what, where two begin at the same moment and last equally long."""


def worker_name(worker: int) -> str:
    """Return what the reader calls a worker."""
    if worker >= 0:
        return f"worker {worker}"
    if worker == CONSUMER:
        return "in the step loop's process"
    return "discovery" if worker == DISCOVERY else f"checkpoint {DISCOVERY - worker}"


def lanes_of_worker(batches: Columns, operations: WorkerOperations | None) -> tuple[Lanes, Lanes]:
    """Return the lane of each batch of a worker, and of each operation; the first lanes are the batches'.

    Args:
        batches: of the worker, by start.
        operations: of the worker; None: none were kept.
    """
    of_batch = lanes_of(batches["fetch_start_ns"], batches["end_ns"])
    if operations is None:
        return of_batch, np.zeros(0, np.int32)
    own = int(of_batch.max(initial=0)) + 1
    lanes = [Lane(*_pieces(chosen(batches, of_batch == lane))) for lane in range(own)]
    columns = operations.columns
    wanted = _wanted(batches["batch"], of_batch, columns["batch"])
    return of_batch, packed(lanes, wanted, columns["start_ns"], columns["end_ns"])


def _pieces(batches: Columns) -> tuple[Stamps, Stamps]:
    """Return the stages of batches that do not overlap: what an operation must lie in, or between."""
    split = _split_ns(batches)
    starts = np.stack([batches["fetch_start_ns"], split], axis=1).ravel()
    ends = np.stack([split, batches["end_ns"]], axis=1).ravel()
    return starts[ends > starts], ends[ends > starts]


def _split_ns(batches: Columns) -> Stamps:
    """Return when fetching ended and joining began."""
    return np.clip(batches["fetch_end_ns"], batches["fetch_start_ns"], batches["end_ns"])


def _wanted(numbers: Stamps, of_batch: Lanes, asked: Stamps) -> Lanes:
    """Return the lane of each operation's batch; the first one where it belongs to none."""
    if not len(numbers):
        return np.zeros(len(asked), np.int32)
    order = np.argsort(numbers, kind="stable")
    at = np.minimum(np.searchsorted(numbers[order], asked), len(numbers) - 1)
    return np.where(numbers[order][at] == asked, of_batch[order][at], 0).astype(np.int32)


def write_lane(writer: EventWriter, track: Track, batches: Columns, flows: Stamps, operations: Columns | None) -> None:
    """Draw one track: the batches of a lane, their stages, and the operations of that lane, merged in order of time.

    Args:
        writer: of the trace.
        track: where.
        batches: of this lane, by start.
        flows: number of the arrow that begins at each; negative: none.
        operations: of this lane; None: none.
    """
    place = track.place
    of_batches = _batch_slices(batches, flows)
    of_operations = _operation_slices(operations) if operations is not None else iter(())
    for (start_ns, less_ns, _), name, told, flow in _merged(of_batches, of_operations):
        writer.slice(place, name, start_ns, start_ns - less_ns, told)
        if flow >= 0:
            writer.flow_out(place, start_ns, flow)


_Order = tuple[int, int, int]
"""Start, start less end, and what it is: sorts by start, the longest first, then by what encloses what."""
_Slice = tuple[_Order, str, str, int]


def _merged(first: Iterator[_Slice], second: Iterator[_Slice]) -> Iterator[_Slice]:
    one, other = next(first, None), next(second, None)
    while one is not None and other is not None:
        if one[0] <= other[0]:
            yield one
            one = next(first, None)
        else:
            yield other
            other = next(second, None)
    if one is not None:
        yield one
    if other is not None:
        yield other
    yield from first
    yield from second


def _batch_slices(batches: Columns, flows: Stamps) -> Iterator[_Slice]:
    columns = (batches[name] for name in ("batch", "epoch", "fetch_start_ns", "end_ns"))
    counts = (batches[name] for name in _COUNTS)
    for batch, epoch, start_ns, end_ns, split_ns, flow, *known in rows(*columns, _split_ns(batches), flows, *counts):
        told = "".join(f',"{name}":{count}' for name, count in zip(_COUNTS, known, strict=True) if count >= 0)
        yield (start_ns, start_ns - end_ns, _BATCH), f"batch {batch}", f'"batch":{batch},"epoch":{epoch}{told}', flow
        if split_ns > start_ns:
            yield (start_ns, start_ns - split_ns, _FETCH), "fetch", "", -1
        if end_ns > split_ns:
            yield (split_ns, split_ns - end_ns, _COLLATE), "collate", "", -1


def _operation_slices(operations: Columns) -> Iterator[_Slice]:
    names = ("kind", "start_ns", "end_ns", "batch", "bytes", "object", "error", "client_hit")
    for kind, start_ns, end_ns, batch, size_bytes, number, error, hit in rows(*(operations[name] for name in names)):
        told = f'"batch":{batch}'
        if size_bytes:
            told += f',"bytes":{size_bytes}'
        if number >= 0:
            told += f',"object":{number}'
        if hit >= 0:
            told += ',"client_hit":true' if hit else ',"client_hit":false'
        if error:
            told += f',"error":"{error_name(error)}"'
        yield (start_ns, start_ns - end_ns, _OPERATION), _LABELS.get(kind, f"kind {kind}"), told, -1
