"""From a run directory to its replay: what is repeated, on what, and the run directory that comes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ioprof import __version__, api
from ioprof.accelerator.resolve import NONE, resolve
from ioprof.contract import StartMethod
from ioprof.dataset.object_sizes import object_sizes
from ioprof.dataset.pool import lives_in_this_process
from ioprof.dataset.prepare import Prepared
from ioprof.errors import IoprofError, RunError, SpecError
from ioprof.replay.accesses import REPEATED, Accesses, Recorded, recorded
from ioprof.replay.filled import filled, kept_ratio, refuse_sampled
from ioprof.replay.player import Means, Piece, pieces_of
from ioprof.replay.script import Script, scripts
from ioprof.replay.session import Score
from ioprof.replay.spread import processes_per_lane, spread
from ioprof.replay.staging import Staging, staged
from ioprof.replay.workload import REPLAY, LaneParams, ReplayLoader, ReplayParams, ReplayWorkload, listed_directories
from ioprof.runner.interrupt import Interrupted, shielded
from ioprof.runner.observer import Observer
from ioprof.runner.plan import RunPlan
from ioprof.runner.record import Recording
from ioprof.spec.model import (
    AcceleratorSection,
    CacheState,
    CheckpointSection,
    LoaderSection,
    RunSection,
    RunSpec,
    StoreSection,
)
from ioprof.store.base import Store
from ioprof.store.direct_file import check_direct
from ioprof.store.open_store import open_store
from ioprof.store.throttled import ThrottledStore
from ioprof.trace.histogram import BUCKETS, bucket_of, percentile_ns
from ioprof.trace.kinds import Kind
from ioprof.trace.reader import load_trace
from ioprof.trace.replay_record import LatenessRecord, Pace, RecordedKind, ReplayRecord, write_replay
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace

_LATE_NS = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """How a run is to be repeated."""

    store_url: str
    pace: Pace = "closed"
    anonymise: bool = False
    fill: bool = False
    """Whether batches that were not traced in full repeat others."""
    cache: CacheState | None = None
    """None: as the recorded run asked for it; cold where that did not say."""
    results: str = "./results"
    label: str | None = None
    start_method: StartMethod = "fork"


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """All that is known before anything is written."""

    asked: Asked
    source: Path
    run: RunRecord
    recorded: Recorded
    staging: Staging
    store: Store
    samples: dict[int, int]
    """Samples of each recorded batch."""
    dispatched_ns: dict[int, int]
    """When each was asked for, as far as that is known."""
    filled_ratio: float
    caveats: tuple[str, ...]

    @property
    def operations(self) -> int:
        """Number of operations that are repeated, discovery included."""
        return len(self.recorded.loading) + len(self.recorded.discovery)


def plan_replay(directory: Path, asked: Asked) -> Replay:
    """Read a run and say how it is repeated; nothing is written.

    Raises:
        RunDirectoryError: it is no run directory, or damaged.
        RunError: it has nothing that can be repeated.
        StoreError: the store's URL makes no sense.
        UsageError: the key for hiding names is too short.
    """
    trace = load_trace(directory)
    if trace.replay is not None and trace.replay.anonymised and asked.anonymise:
        raise RunError(f"{directory}: is the replay of a run whose names are hidden already; leave out --anonymise")
    found = recorded(trace)
    staging = staged(directory, trace.run, found, anonymise=asked.anonymise)
    if not asked.fill:
        refuse_sampled(trace, kept_ratio(trace))
    equal = getattr(staging.layout, "fixed_size_bytes", None) is not None
    whole = filled(trace, found, staging.layout.count if equal else 0)
    return Replay(
        asked=asked,
        source=directory,
        run=trace.run,
        recorded=whole.recorded,
        staging=staging,
        store=open_store(asked.store_url),
        samples=_of_batches(trace, "samples"),
        dispatched_ns=_of_batches(trace, "dispatch_ns"),
        filled_ratio=whole.filled_ratio,
        caveats=(*staging.caveats, *whole.caveats, *_of_source(trace.run, found)),
    )


def _of_batches(trace: Trace, column: str) -> dict[int, int]:
    """Return a column by batch, where it is known."""
    known = trace.batches.select(["batch", column]).drop_null()
    return dict(zip(known["batch"].to_pylist(), known[column].to_pylist(), strict=True))


def _of_source(run: RunRecord, found: Recorded) -> tuple[str, ...]:
    """Return what a reader must know of the recorded run."""
    told = []
    if run.outcome != "complete":
        told.append(f"The recorded run did not complete ({run.outcome}): what it did until then is repeated.")
    if not found.offsets_known:
        told.append("Some reads do not say where in their objects they began: they are repeated front to back.")
    if run.dropped_spans:
        told.append(f"{run.dropped_spans:,} records of the recorded run are lost, and not repeated.")
    if run.cache.drops:
        told.append("The recorded run dropped names and inodes from the caches too; the replay evicts content alone.")
    return tuple(told)


def run_replay(replay: Replay, prepared: Prepared, command: Sequence[str], observer: Observer) -> api.Run:
    """Repeat the run on its prepared objects; the run directory is complete when this returns.

    Raises:
        RecordingStoppedError: it ended early; carries the partial run and the cause.
        RunDirectoryError: the results folder is not writable or full.
    """
    means, caveats = _means(replay, prepared)
    score = _score(replay, means)
    loader = ReplayLoader(score)
    plan = _run_plan(replay, loader, caveats)
    recording = Recording(plan, prepared, _told_command(replay, command), observer)
    record = _record(replay)
    write_replay(recording.directory, record)
    try:
        recording.run()
    except (Interrupted, IoprofError) as cause:
        with shielded():
            _finish(recording.directory, record, loader)
        raise api.stopped(recording.directory, cause) from cause
    _finish(recording.directory, record, loader)
    return api.analysed(recording.directory)


def _finish(directory: Path, record: ReplayRecord, loader: ReplayLoader) -> None:
    late_ns = loader.session.late_ns if loader.session is not None else np.zeros(0, dtype=np.int64)
    if not len(late_ns):
        return
    lateness = LatenessRecord(
        requests=len(late_ns),
        p50_ns=float(np.percentile(late_ns, 50)),
        p99_ns=float(np.percentile(late_ns, 99)),
        max_ns=int(late_ns.max()),
        over_1ms_ratio=float(np.count_nonzero(late_ns > _LATE_NS) / len(late_ns)),
    )
    write_replay(directory, record.model_copy(update={"lateness": lateness}))


def _told_command(replay: Replay, command: Sequence[str]) -> list[str]:
    """Return the words that started it, without the run's name where names are hidden."""
    hidden = {str(replay.source), replay.source.name} if replay.asked.anonymise else set()
    return ["RUN" if word in hidden or word.rstrip("/") in hidden else word for word in command]


def _means(replay: Replay, prepared: Prepared) -> tuple[Means, list[str]]:
    sizes, loading = object_sizes(prepared.store, prepared.manifest), replay.recorded.loading
    keeps_direct, no_direct = _direct(loading, prepared.store)
    keeps_mapped = prepared.store.local_root is not None and not isinstance(prepared.store, ThrottledStore)
    caveats = [no_direct] if no_direct else []
    if not keeps_mapped and bool((loading.kind == Kind.TOUCH).any()):
        caveats.append("This store cannot be mapped: what was copied out of mapped files is read in the same ranges.")
    if prepared.store.local_root is None and bool((loading.kind == Kind.OPEN).any()):
        caveats.append("This store has no open files: open and close are not repeated, and each read is a request.")
    means = Means(
        layout=replay.staging.layout,
        sizes=sizes,
        pace=replay.asked.pace,
        directories=listed_directories(replay.staging.layout),
        keeps_direct=keeps_direct,
        keeps_mapped=keeps_mapped,
    )
    return means, caveats


def _direct(loading: Accesses, store: Store) -> tuple[bool, str | None]:
    """Return whether files are opened around the page cache, and why not where they were."""
    if not loading.direct.any():
        return False, None
    if store.local_root is None:
        return False, "The recorded run opened files with O_DIRECT; this store has no page cache in between."
    try:
        check_direct(Path(store.local_root))
    except SpecError:
        return False, "The recorded run opened files with O_DIRECT, which this store does not know: opened as usual."
    return True, None


def _score(replay: Replay, means: Means) -> Score:
    per_lane = _per_lane(replay)
    loading = replay.recorded.loading
    played = scripts(spread(loading, per_lane) if per_lane > 1 else loading, means.sizes, replay.dispatched_ns)
    cut = [
        (int(script.start_ns[first]), place, batch, first, stop)
        for place, script in enumerate(played)
        for batch, first, stop in pieces_of(script)
    ]
    cut.sort()
    pieces: list[list[Piece]] = [[] for _ in played]
    seen: set[tuple[int, int]] = set()
    for number, (_, place, batch, first, stop) in enumerate(cut):
        # A batch that several lanes worked on is as many pieces; its samples count once in each epoch.
        key = (played[place].epoch, batch)
        samples = 0 if key in seen else replay.samples.get(batch, 0)
        seen.add(key)
        pieces[place].append(Piece(number, first, stop, samples))
    paired: list[tuple[Script, Sequence[Piece]]] = [
        (script, sorted(mine, key=lambda piece: piece.first)) for script, mine in zip(played, pieces, strict=True)
    ]
    start_method: StartMethod = "fork" if lives_in_this_process(replay.store) else replay.asked.start_method
    return Score(scripts=paired, lanes=replay.recorded.lanes * per_lane, means=means, start_method=start_method)


def _per_lane(replay: Replay) -> int:
    """Return how many processes repeat what one lane did."""
    return processes_per_lane(replay.recorded.lanes) if replay.asked.pace == "open" else 1


def _run_plan(replay: Replay, loader: ReplayLoader, caveats: Sequence[str]) -> RunPlan:
    asked, run, found = replay.asked, replay.run, replay.recorded
    samples = sum(replay.samples.values()) // max(1, found.epochs)
    batches = len(np.unique(found.loading.batch))
    warmup = run.warmup_steps if batches > 2 * run.warmup_steps else 0
    recorded_cache: CacheState = run.cache.requested if replay.staging.dataset == "prepared" else "cold"
    spec = RunSpec(
        workload=REPLAY,
        workload_params=ReplayParams(of="" if asked.anonymise else replay.source.name, anonymise=asked.anonymise),
        store=StoreSection(url=asked.store_url),
        loader=f"{REPLAY}-{asked.pace}",
        loader_section=LoaderSection(batch_size=max(1, run.batch_size or 1), drop_last=False),
        loader_params=LaneParams(workers=found.lanes * _per_lane(replay), start_method=asked.start_method),
        accelerator=AcceleratorSection.model_validate({"name": NONE}),
        checkpoint=CheckpointSection.model_validate({}),
        run=RunSection.model_validate(
            {
                "epochs": found.epochs,
                "warmup": warmup,
                "cache": asked.cache or recorded_cache,
                "seed": run.seed or 0,
                "max_errors": 10**12,
                "span_budget": max(1_000_000, min(100_000_000, 2 * len(found.loading))),
                "probe": False,
                "results": asked.results,
                "label": asked.label,
            }
        ),
        caveats=(*replay.caveats, *caveats),
    )
    return RunPlan(
        spec=spec,
        workload=ReplayWorkload(replay.staging.layout, max(1, samples), found.discovery),
        layout=replay.staging.layout,
        loader=loader,
        accelerator=resolve(NONE, None, None, max(1, run.batch_size or 1)),
        store=replay.store,
    )


def _record(replay: Replay) -> ReplayRecord:
    found = replay.recorded
    return ReplayRecord(
        ioprof_version=__version__,
        source=None if replay.asked.anonymise else replay.source.name,
        pace=replay.asked.pace,
        lanes=found.lanes,
        processes=found.lanes * _per_lane(replay),
        epochs=found.epochs,
        dataset=replay.staging.dataset,
        anonymised=replay.asked.anonymise,
        offsets_known=found.offsets_known,
        filled_ratio=replay.filled_ratio,
        left_out=found.left_out,
        recorded_s=_recorded_s(found.loading),
        kinds={kind.label: _kind(found.loading, kind) for kind in REPEATED if (found.loading.kind == kind).any()},
    )


def _recorded_s(loading: Accesses) -> float:
    parts = [loading.epoch == epoch for epoch in np.unique(loading.epoch)]
    return sum(float(loading.end_ns[part].max() - loading.start_ns[part].min()) for part in parts) / 1e9


def _kind(loading: Accesses, kind: Kind) -> RecordedKind:
    mine = loading.kind == kind
    took_ns = loading.duration_ns[mine]
    buckets = np.bincount(bucket_of(took_ns), minlength=BUCKETS)
    shortest, longest = int(took_ns.min()), int(took_ns.max())
    return RecordedKind(
        count=len(took_ns),
        bytes=int(loading.size_bytes[mine].sum()),
        mean_ns=float(took_ns.mean()),
        p50_ns=percentile_ns(buckets, 0.5, shortest, longest),
        p99_ns=percentile_ns(buckets, 0.99, shortest, longest),
    )
