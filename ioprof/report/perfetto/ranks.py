"""Puts the tracks of a run together: one process for each rank, and one for the host."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc

from ioprof.report.perfetto.counters import Bins, bins_of, write_host, write_idle, write_queues, write_rates
from ioprof.report.perfetto.events import EventWriter, Track
from ioprof.report.perfetto.operations import WorkerOperations, operations_of, storage_starts
from ioprof.report.perfetto.selection import (
    Columns,
    Stamps,
    Window,
    batches_of,
    chosen,
    last_ns,
    of_rank,
    ranks_of,
    steps_of,
    zero_ns,
)
from ioprof.report.perfetto.steps import (
    idle_before_ns,
    saves_of,
    write_accelerator,
    write_parts,
    write_saves,
    write_step_loop,
)
from ioprof.report.perfetto.workers import lanes_of_worker, worker_name, write_lane
from ioprof.trace.kinds import STORAGE_KINDS
from ioprof.trace.trace import Trace

_FLOW_BITS = 40
"""Arrows are numbered by batch, ranks apart."""
_RANK_TRACKS = 10_000
"""Numbers between a rank's process, which its first track shares, and the next one's."""


class RunDrawing:
    """A run that is about to be drawn.

    Attributes:
        earliest_ns: no stamp of it is smaller.
        notes: what a reader must know of the drawing, each one sentence.
    """

    def __init__(self, trace: Trace, window: Window, first_process: int) -> None:
        """Look at what there is.

        Args:
            trace: the run.
            window: the stretch of time to draw.
            first_process: number of the first rank; the others follow, and then the host.
        """
        self._trace = trace
        self._window = window
        self._first_process = first_process
        self._operations = operations_of(trace.spans(), window) if trace.has_spans else []
        self.notes = self._noted()
        self.earliest_ns = self._earliest_ns()

    def _noted(self) -> list[str]:
        run = self._trace.run
        if not self._trace.has_spans:
            return ["The run's spans were left out when it was published: batches and their stages, but no operations."]
        if run.sample_every > 1:
            return [f"Operations were kept for 1 batch in {run.sample_every}; batches and steps are all there."]
        return []

    def _earliest_ns(self) -> int:
        known = [int(one.columns["start_ns"][0]) for one in self._operations]
        if self._trace.host is not None and self._trace.host.num_rows:
            known.append(int(self._trace.host["time_ns"].to_numpy().min()))
        first = (pc.min(self._trace.batches[name]).as_py() for name in ("dispatch_ns", "fetch_start_ns"))
        known += [at_ns for at_ns in first if at_ns is not None]
        return min([*known, zero_ns(self._trace)])

    def write(self, writer: EventWriter) -> None:
        """Draw everything."""
        ranks = ranks_of(self._trace)
        for place, rank in enumerate(ranks):
            _Rank(self._trace, self._window, self._operations, rank, self._first_process + place * _RANK_TRACKS).write(
                writer
            )
        if self._trace.host is not None and self._trace.host.num_rows:
            process = self._first_process + len(ranks) * _RANK_TRACKS
            writer.name_process(process, f"host {self._trace.run.host.get('hostname') or ''}".strip(), len(ranks))
            write_host(writer, process, self._trace.host, self._window)


class _Rank:
    """One rank's process in the drawing."""

    def __init__(
        self, trace: Trace, window: Window, operations: list[WorkerOperations], rank: int, process: int
    ) -> None:
        self._trace = trace
        self._window = window
        self._rank = rank
        self._process = process
        self._tracks = 0
        self._operations = [one for one in operations if one.rank == rank]
        steps = steps_of(trace, rank)
        self._since_ns = idle_before_ns(steps, trace.run.epochs)
        inside = window.holds(np.minimum(steps["wait_start_ns"], self._since_ns), steps["busy_end_ns"])
        self._steps, self._since_ns = chosen(steps, inside), self._since_ns[inside]
        self._all_batches = batches_of(trace, rank, window)
        known = (self._all_batches["fetch_start_ns"] >= 0) & (
            self._all_batches["end_ns"] > self._all_batches["fetch_start_ns"]
        )
        made = chosen(self._all_batches, known)
        made = chosen(made, window.holds(made["fetch_start_ns"], made["end_ns"]))
        order = np.argsort(made["fetch_start_ns"], kind="stable")
        self._batches: Columns = {name: values[order] for name, values in made.items()}
        self._is_timed = trace.run.accelerator.busy_ns_per_batch is not None

    def write(self, writer: EventWriter) -> None:
        """Draw the tracks from the accelerator down to the workers, then the counters."""
        run = self._trace.run
        writer.name_process(self._process, f"rank {self._rank}: {run.workload.name}, {run.loader}", self._rank)
        flows = self._flows()
        none = np.full(len(self._since_ns), -1, np.int64)
        into_steps = np.where(np.isin(self._steps["batch"], flows), self._numbered(self._steps), -1)
        write_parts(writer, self._track(writer, "run"), run, self._window)
        if self._is_timed:
            track = self._track(writer, f"accelerator {run.accelerator.name}")
            write_accelerator(writer, track, self._steps, self._since_ns, into_steps)
        into_waits = none if self._is_timed else into_steps
        write_step_loop(writer, self._track(writer, "step loop"), self._steps, into_waits)
        self._write_saves(writer)
        self._write_workers(writer, flows)
        self._write_counters(writer)

    def _track(self, writer: EventWriter, name: str) -> Track:
        track = Track(self._process, self._process + self._tracks)
        self._tracks += 1
        writer.name_track(track, name)
        return track

    def _numbered(self, columns: Columns) -> Stamps:
        return columns["batch"] | (self._rank << _FLOW_BITS)

    def _flows(self) -> Stamps:
        """Return the batches whose making and whose use are both drawn: an arrow leads from one to the other."""
        steps = self._steps
        used = (
            steps["busy_end_ns"] > steps["busy_start_ns"]
            if self._is_timed
            else steps["wait_end_ns"] > steps["wait_start_ns"]
        )
        return np.intersect1d(steps["batch"][used], self._batches["batch"])

    def _write_saves(self, writer: EventWriter) -> None:
        saves = saves_of(of_rank(self._trace.checkpoints, self._rank), self._window)
        count = int(saves["lane"].max(initial=-1)) + 1
        tracks = [self._track(writer, _numbered_name("checkpoints", lane)) for lane in range(count)]
        write_saves(writer, tracks, saves)

    def _write_workers(self, writer: EventWriter, flows: Stamps) -> None:
        by_worker = {one.worker: one for one in self._operations}
        workers = {*by_worker, *np.unique(self._batches["worker"]).tolist()}
        for worker in sorted(workers, key=lambda one: (one < 0, abs(one))):
            batches = chosen(self._batches, self._batches["worker"] == worker)
            operations = by_worker.get(worker)
            of_batch, of_operation = lanes_of_worker(batches, operations)
            lanes = 1 + max(int(of_batch.max(initial=0)), int(of_operation.max(initial=0)))
            for lane in range(lanes):
                name = _numbered_name(worker_name(worker), lane)
                track = self._track(writer, name)
                own = chosen(batches, of_batch == lane)
                out = np.where(np.isin(own["batch"], flows), self._numbered(own), -1)
                done = None if operations is None else chosen(operations.columns, of_operation == lane)
                write_lane(writer, track, own, out, done)

    def _bins(self) -> Bins:
        start_ns = max(self._window.start_ns, zero_ns(self._trace))
        return bins_of(start_ns, max(min(self._window.end_ns, last_ns(self._trace)), start_ns))

    def _write_counters(self, writer: EventWriter) -> None:
        bins = self._bins()
        if self._is_timed:
            write_idle(writer, self._process, self._steps, self._since_ns, bins)
        kinds = tuple(int(kind) for kind in STORAGE_KINDS)
        started = storage_starts(self._operations, kinds) if self._operations else None
        write_rates(writer, self._process, self._steps, self._batches, started, self._trace.run.sample_every, bins)
        write_queues(writer, self._process, self._all_batches, self._window)


def _numbered_name(name: str, lane: int) -> str:
    return f"{name} ({lane + 1})" if lane else name
