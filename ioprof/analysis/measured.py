"""The measured window: which steps count, and how long the accelerator was busy and idle in each.

Steps below the run's ``warmup_steps`` are dropped; with ``--warmup auto`` all steps that are found to be start-up,
and at least those. The window of a rank opens when its last warm-up step
ended (with no warm-up: when it first asked for a batch) and closes when its last step ended. Between two
steps the accelerator is idle from the end of one to the start of the next. The time between the end of one
epoch and the start of the next, when ioprof itself evicts caches, is neither idle nor part of the window.
So, exactly, idle + busy = window.

A step of the emulated accelerator is a sleep, which ends late where its thread gets no CPU in time. A real one would
have been done: where all steps together took longer than asked, what is too much is taken off the ends of those that
were longer, in proportion, and is idle time before the next step; where each step's time was drawn, nothing is.

A save after a step holds the step loop up before the next one: idle time with a known cause, kept beside the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ioprof.analysis.bootstrap import StepTimes
from ioprof.analysis.start_up import start_up_steps
from ioprof.trace.run_record import AUTO, EpochRecord, RunRecord

Stamps = NDArray[np.int64]
_SAVE = 0
"""``kind`` of a save in the checkpoints table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RankSteps:
    """All steps of one rank in order; stamps and durations in nanoseconds."""

    rank: int
    first: int
    """Index of the first measured step: the number of warm-up steps before it."""
    step: Stamps
    epoch: Stamps
    batch: Stamps
    worker: Stamps
    samples: Stamps
    wait_start_ns: Stamps
    wait_end_ns: Stamps
    h2d_end_ns: Stamps
    busy_start_ns: Stamps
    busy_end_ns: Stamps
    idle_ns: Stamps
    """Accelerator without work before each step; 0 for warm-up steps."""
    busy_ns: Stamps
    """Accelerator at work; 0 for warm-up steps."""
    tail_ns: Stamps
    """The part of ``idle_ns`` before a new epoch's start: the old epoch was closing down."""
    opened_ns: Stamps
    """When the window or, if later, the epoch of each measured step opened."""
    saving_ns: Stamps
    """The part of ``idle_ns`` in which the step loop stood still for a save."""
    late_ns: Stamps
    """What was taken off the end of each emulated step, because it took longer than asked; 0 for warm-up steps."""
    stop_start_ns: Stamps
    """When the step loop stood still for the save after each step; 0: there was none."""
    stop_end_ns: Stamps
    """When it went on."""

    @property
    def measured(self) -> int:
        """Number of measured steps."""
        return len(self.step) - self.first

    @property
    def wait_ns(self) -> Stamps:
        """How long each batch was waited for, warm-up steps included."""
        return self.wait_end_ns - self.wait_start_ns

    @property
    def late_before_ns(self) -> Stamps:
        """The part of ``idle_ns`` in which an emulated step was over and the host was late; epochs' ends apart."""
        before = np.concatenate([np.zeros_like(self.late_ns[:1]), self.late_ns[:-1]])
        late: Stamps = np.where(self.tail_ns > 0, 0, np.minimum(before, self.idle_ns - self.saving_ns))
        return late

    @property
    def window_ns(self) -> int:
        """Length of the measured window."""
        return int(self.idle_ns.sum() + self.busy_ns.sum())


def measured_ranks(steps: pa.Table, run: RunRecord, checkpoints: pa.Table | None = None) -> list[RankSteps]:
    """Return the steps of every rank, ranks ascending; an empty list where no step was made.

    Args:
        steps: the steps table.
        run: the record.
        checkpoints: the checkpoints table; None: there were none.
    """
    if not finds_warmup(run):
        return ranks_after(run.warmup_steps, steps, run, checkpoints)
    found = start_up_steps(step_times(ranks_after(0, steps, run, checkpoints)).step_ns)
    return ranks_after(max(run.warmup_steps, found or 0), steps, run, checkpoints)


def counted_ranks(ranks: list[RankSteps], steps: pa.Table, run: RunRecord, checkpoints: pa.Table) -> list[RankSteps]:
    """Return the steps whose operations are counted as measured: workers know only the warm-up that was asked for.

    Args:
        ranks: the measured steps.
        steps: the steps table.
        run: the record.
        checkpoints: the checkpoints table.
    """
    as_asked = not finds_warmup(run) or all(rank.first <= run.warmup_steps for rank in ranks)
    return ranks if as_asked else ranks_after(run.warmup_steps, steps, run, checkpoints)


def measured_batches(ranks: list[RankSteps], batches: pa.Table) -> pa.Table:
    """Return the batches that the measured steps used.

    Args:
        ranks: the steps of every rank.
        batches: the batches table.
    """
    numbers, of_rank = batches["batch"].to_numpy(), batches["rank"].to_numpy()
    used = np.zeros(len(numbers), dtype=bool)
    for rank in ranks:
        used |= (of_rank == rank.rank) & np.isin(numbers, rank.batch[rank.first :])
    return batches.filter(pa.array(used))


def finds_warmup(run: RunRecord) -> bool:
    """Tell whether a run was to find out by itself how many steps are warm-up."""
    return run.spec.get("run", {}).get("warmup") == AUTO


def step_times(ranks: list[RankSteps]) -> StepTimes:
    """Return the measured steps, all ranks together: they march in step, so their times are averaged."""
    samples, total_ns = np.zeros((2, max((rank.measured for rank in ranks), default=0)), np.int64)
    for rank in ranks:
        samples[: rank.measured] += rank.samples[rank.first :]
        total_ns[: rank.measured] += (rank.idle_ns + rank.busy_ns)[rank.first :]
    return StepTimes(samples=samples, step_ns=total_ns // max(1, len(ranks)))


def ranks_after(
    warmup_steps: int, steps: pa.Table, run: RunRecord, checkpoints: pa.Table | None = None
) -> list[RankSteps]:
    """Return what `measured_ranks` does, with so many warm-up steps whatever the run says."""
    if steps.num_rows == 0:
        return []
    ordered = steps.sort_by([("rank", "ascending"), ("step", "ascending")])
    columns = {name: ordered[name].to_numpy().astype(np.int64, copy=False) for name in _COLUMNS}
    ranks, starts = np.unique(columns["rank"], return_index=True)
    bounds = [*starts.tolist(), ordered.num_rows]
    epochs = {record.epoch: record for record in run.epochs}
    stops = _stops(checkpoints)
    return [
        _rank_steps(
            int(rank),
            {name: column[low:high] for name, column in columns.items()},
            warmup_steps,
            epochs,
            stops,
            asked_ns=asked_busy_ns(run),
        )
        for rank, low, high in zip(ranks, bounds[:-1], bounds[1:], strict=True)
    ]


_COLUMNS = (
    "rank", "epoch", "step", "batch", "worker", "samples",
    "wait_start_ns", "wait_end_ns", "h2d_end_ns", "busy_start_ns", "busy_end_ns",
)  # fmt: skip


_Stops = dict[tuple[int, int], tuple[int, int]]
"""When the step loop of a rank stood still after a step, and when it went on."""


def _stops(checkpoints: pa.Table | None) -> _Stops:
    rows = [] if checkpoints is None else checkpoints.to_pylist()
    return {
        (row["rank"], row["step"]): (row["start_ns"], row["blocked_end_ns"]) for row in rows if row["kind"] == _SAVE
    }


def asked_busy_ns(run: RunRecord) -> int | None:
    """Return how long each step of the emulated accelerator should take; None: it is none, or each one's was drawn."""
    is_drawn = run.spec.get("accelerator", {}).get("compute_spread") is not None
    if run.accelerator.is_measured or is_drawn:
        return None
    return run.accelerator.busy_ns_per_batch or None


def _late_ns(took_ns: Stamps, asked_ns: int | None) -> Stamps:
    """Return what steps took too long: of those longer than asked, so much that all together take what was asked for.

    Single steps end a little early as often as late, by design, so only their sum is held against what was asked for.
    """
    late: Stamps = np.zeros_like(took_ns)
    surplus_ns = 0 if asked_ns is None else int(took_ns.sum()) - asked_ns * len(took_ns)
    if asked_ns is None or surplus_ns <= 0:
        return late
    longer = np.maximum(took_ns - asked_ns, 0)
    late[:] = np.rint(longer * (surplus_ns / longer.sum()))
    return late


def _rank_steps(
    rank: int,
    columns: dict[str, Stamps],
    warmup_steps: int,
    epochs: dict[int, EpochRecord],
    stops: _Stops,
    asked_ns: int | None,
) -> RankSteps:
    first = int(np.searchsorted(columns["step"], warmup_steps))
    took_ns = columns["busy_end_ns"] - columns["busy_start_ns"]
    late = np.concatenate([np.zeros_like(took_ns[:first]), _late_ns(took_ns[first:], asked_ns)])
    columns = columns | {"busy_end_ns": columns["busy_end_ns"] - late}
    busy_start, busy_end = columns["busy_start_ns"], columns["busy_end_ns"]
    before = np.concatenate([columns["wait_start_ns"][:1], busy_end[:-1]])
    idle = np.maximum(busy_start - before, 0)
    busy = np.maximum(busy_end - np.maximum(busy_start, before), 0)
    idle[:first] = busy[:first] = 0
    tail = np.zeros_like(idle)
    turns, opened_at = [0], [int(before[first]) if first < len(before) else 0]
    for index in (np.flatnonzero(np.diff(columns["epoch"])) + 1).tolist():
        if index < first:
            continue
        pause_start, pause_end = _pause(index, columns, epochs, int(before[index]))
        idle[index] -= pause_end - pause_start
        tail[index] = min(pause_start - before[index], idle[index])
        turns.append(index)
        opened_at.append(pause_end)
    opened = np.repeat(np.array(opened_at, dtype=np.int64), np.diff([*turns, len(idle)]))
    stop_start, stop_end, saving = _saving(rank, columns, stops, idle)
    return RankSteps(
        rank=rank, first=first, idle_ns=idle, busy_ns=busy, tail_ns=np.maximum(tail - saving, 0), opened_ns=opened,
        saving_ns=saving, late_ns=late, stop_start_ns=stop_start, stop_end_ns=stop_end,
        **{name: column for name, column in columns.items() if name != "rank"},
    )  # fmt: skip


def _saving(rank: int, columns: dict[str, Stamps], stops: _Stops, idle: Stamps) -> tuple[Stamps, Stamps, Stamps]:
    """Return start and end of the stop after each step, and how much of each step's idle time the one before it is."""
    start, end, saving = (np.zeros_like(idle) for _ in range(3))
    places = {step: place for place, step in enumerate(columns["step"].tolist())} if stops else {}
    for (of_rank, step), (start_ns, end_ns) in stops.items():
        place = places.get(step)
        if of_rank != rank or place is None:
            continue
        start[place], end[place] = start_ns, end_ns
        if place + 1 < len(idle):
            saving[place + 1] = min(end_ns - start_ns, int(idle[place + 1]))
    return start, end, saving


def _pause(index: int, columns: dict[str, Stamps], epochs: dict[int, EpochRecord], before_ns: int) -> tuple[int, int]:
    """Return start and end of the run's own pause before step ``index``, within its gap.

    A killed run may lack an epoch's record: then its last step's end, or its first wait, stands for it.
    """
    ended = epochs.get(int(columns["epoch"][index - 1]))
    opened = epochs.get(int(columns["epoch"][index]))
    high = max(before_ns, int(columns["busy_start_ns"][index]))
    start = min(max(ended.end_ns if ended else before_ns, before_ns), high)
    end = min(max(opened.start_ns if opened else int(columns["wait_start_ns"][index]), start), high)
    return start, end
