"""A replay beside the run that it repeats: the same operations, then and now."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from ioprof.analysis.operations import totals_by_kind
from ioprof.analysis.reasons import Reasons
from ioprof.analysis.replay_figures import IssueTimes, KindFigures, KindThenAndNow, Replayed
from ioprof.analysis.wording import percent
from ioprof.trace.histogram import percentile_ns
from ioprof.trace.kinds import STORAGE_KINDS, Phase
from ioprof.trace.replay_record import ReplayRecord
from ioprof.trace.trace import Trace
from ioprof.units import format_duration

OF_LANES = (Phase.WARMUP, Phase.STEADY, Phase.EPOCH_START, Phase.CLOSING)
"""What the lanes do; looking for samples and checkpoints are apart."""
_KEEPS_UP_RATIO = 0.5
"""From this share of the requests more than a millisecond late on, a store is said not to keep up."""


def replayed(trace: Trace, reasons: Reasons) -> Replayed | None:
    """Return a replay's figures; None, with the reason, for other runs."""
    record = trace.replay
    if record is None:
        return reasons.known("replay", None, "the run repeats no other one")
    seconds = reasons.known("replay.replayed_s", _replayed_s(trace.batches), "no batch was finished")
    now = _now(trace, seconds)
    then = _then(record)
    recorded_iops = _iops(then, record.recorded_s)
    iops = _iops(now, seconds)
    ratio = iops / recorded_iops if iops is not None and recorded_iops else None
    for name, value in (("recorded_iops", recorded_iops), ("iops", iops), ("iops_ratio", ratio)):
        reasons.known(f"replay.{name}", value, "the window has no length, or nothing was done in it")
    no_times = "only an open loop has times to keep" if record.pace != "open" else "the replay was killed"
    reasons.known("replay.issue_times", record.lateness, no_times)
    reasons.known("replay.source", record.source, "names were to be hidden")
    return Replayed(
        source=record.source,
        pace=record.pace,
        lanes=record.lanes,
        processes=record.processes,
        recorded_s=record.recorded_s,
        replayed_s=seconds,
        recorded_iops=recorded_iops,
        iops=iops,
        iops_ratio=ratio,
        operations={
            kind.label: KindThenAndNow(recorded=then.get(kind.label), replayed=now.get(kind.label))
            for kind in STORAGE_KINDS
            if kind.label in then or kind.label in now
        },
        issue_times=None if record.lateness is None else IssueTimes(**record.lateness.model_dump()),
        left_out=record.left_out,
        filled_ratio=record.filled_ratio,
    )


def replay_sentence(found: Replayed) -> str:
    """Return what a replay shows, in a sentence."""
    if found.iops is None or found.recorded_iops is None or found.iops_ratio is None:
        return "Too little was repeated to compare it with the recorded run."
    then_and_now = f"{found.iops:,.0f} operations/s, where {found.recorded_iops:,.0f} were recorded"
    if found.pace == "open":
        late = found.issue_times
        kept = "" if late is None else f"; requests were {_late_words(late)}"
        share = percent(found.iops_ratio)
        return f"Asked at the recorded times, this store gave {then_and_now} ({share}){kept}."
    how = "with each worker's own pauses" if found.pace == "closed" else "asked without pause"
    return f"This store gave {then_and_now} ({percent(found.iops_ratio)}), {how}."


def _late_words(late: IssueTimes) -> str:
    told = f"{format_duration(late.p50_ns)} late in the middle, {format_duration(late.max_ns)} at worst"
    return f"{told}: it does not keep up" if late.over_1ms_ratio > _KEEPS_UP_RATIO else told


def _replayed_s(batches: pa.Table) -> float | None:
    """Return the time from the first batch's start to the last one's end, summed over epochs."""
    known = batches.select(["epoch", "fetch_start_ns", "fetch_end_ns"]).drop_null()
    if not known.num_rows:
        return None
    epoch, begun, ended = (known[name].to_numpy() for name in known.column_names)
    parts = [epoch == one for one in np.unique(epoch)]
    return sum(float(ended[part].max() - begun[part].min()) for part in parts) / 1e9


def _now(trace: Trace, seconds: float | None) -> dict[str, KindFigures]:
    return {
        totals.kind.label: _figures(
            totals.count,
            totals.bytes,
            percentile_ns(totals.buckets, 0.5, totals.min_ns, totals.max_ns),
            percentile_ns(totals.buckets, 0.99, totals.min_ns, totals.max_ns),
            seconds,
        )
        for totals in totals_by_kind(trace.operations, OF_LANES)
        if totals.kind in STORAGE_KINDS
    }


def _then(record: ReplayRecord) -> dict[str, KindFigures]:
    return {
        label: _figures(kind.count, kind.bytes, kind.p50_ns, kind.p99_ns, record.recorded_s)
        for label, kind in record.kinds.items()
    }


def _figures(count: int, size_bytes: int, p50_ns: float, p99_ns: float, seconds: float | None) -> KindFigures:
    return KindFigures(
        count=count,
        per_s=count / seconds if seconds else None,
        bytes=size_bytes,
        bytes_per_s=size_bytes / seconds if seconds else None,
        p50_ns=p50_ns,
        p99_ns=p99_ns,
    )


def _iops(kinds: dict[str, KindFigures], seconds: float | None) -> float | None:
    count = sum(kind.count for kind in kinds.values())
    return count / seconds if seconds and count else None
