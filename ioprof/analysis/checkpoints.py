"""What saving and restoring checkpoints took, and what it cost the accelerator."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from ioprof.analysis.measured import RankSteps
from ioprof.analysis.operations import stats_of, totals_by_kind
from ioprof.analysis.reasons import Reasons
from ioprof.analysis.summary import CheckpointStats, Spread
from ioprof.trace.kinds import Phase
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace

SAVE, RESTORE = 0, 1
NONE_ASKED = "no checkpoints were asked for (--checkpoint-every)"
_NO_SAVE = "no checkpoint was saved"
_NO_RESTORE = "no checkpoint was restored"


def checkpoint_stats(
    trace: Trace, ranks: list[RankSteps], wall_s: float | None, reasons: Reasons
) -> CheckpointStats | None:
    """Return the figures of a run's checkpoints; None where none were asked for.

    A save takes from when its bytes may be read until all is durable: waiting for the save before is apart.

    Args:
        trace: the run.
        ranks: its steps.
        wall_s: length of the measured window.
        reasons: takes in why a figure is missing.
    """
    if not is_asked(trace.run):
        reasons.by_key["checkpoints"] = NONE_ASKED
        return None
    rows = trace.checkpoints
    totals = totals_by_kind(trace.operations, (Phase.CHECKPOINT,))
    good = rows.filter(pc.equal(rows["error"], 0))
    saves, restores = _of_kind(good, SAVE), _of_kind(good, RESTORE)
    save_s = _seconds(saves, saves["durable_ns"], pc.add(saves["start_ns"], saves["waited_ns"]))
    stood_s = _seconds(saves, saves["blocked_end_ns"], saves["start_ns"])
    restore_s = _seconds(restores, restores["blocked_end_ns"], restores["start_ns"])
    all_saves = _of_kind(rows, SAVE)
    waited_ns = all_saves["waited_ns"].to_pylist()
    blocked_s = sum(int(rank.saving_ns.sum()) for rank in ranks) / 1e9
    return CheckpointStats(
        saves=saves.num_rows,
        restores=restores.num_rows,
        failed=rows.num_rows - good.num_rows,
        mode=str(trace.run.spec["checkpoint"]["mode"]),
        shards=int(trace.run.spec["checkpoint"]["shards"] or 0),
        fsync=bool(trace.run.spec["checkpoint"]["fsync"]),
        bytes_per_save=reasons.known("checkpoints.bytes_per_save", _mean(saves["bytes"].to_pylist()), _NO_SAVE),
        save_bytes_per_s=reasons.known("checkpoints.save_bytes_per_s", _rate(saves, save_s), _NO_SAVE),
        restore_bytes_per_s=reasons.known("checkpoints.restore_bytes_per_s", _rate(restores, restore_s), _NO_RESTORE),
        save_s=reasons.known("checkpoints.save_s", _spread(save_s), _NO_SAVE),
        blocked_per_save_s=reasons.known("checkpoints.blocked_per_save_s", _spread(stood_s), _NO_SAVE),
        restore_s=reasons.known("checkpoints.restore_s", _spread(restore_s), _NO_RESTORE),
        waited=sum(waited > 0 for waited in waited_ns),
        waited_s=sum(waited_ns) / 1e9,
        blocked_s=blocked_s,
        share_of_wall=reasons.known(
            "checkpoints.share_of_wall", blocked_s / wall_s / len(ranks) if wall_s else None, "nothing was measured"
        ),
        operations={kind.kind.label: stats_of(kind, None) for kind in totals},
    )


def is_asked(run: RunRecord) -> bool:
    """Tell whether a run was to save checkpoints."""
    return bool(run.spec.get("checkpoint", {}).get("every"))


def _of_kind(rows: pa.Table, kind: int) -> pa.Table:
    return rows.filter(pc.equal(rows["kind"], kind))


def _seconds(rows: pa.Table, end_ns: pa.ChunkedArray, start_ns: pa.ChunkedArray) -> list[float]:
    return [ns / 1e9 for ns in pc.subtract(end_ns, start_ns).to_pylist()] if rows.num_rows else []


def _rate(rows: pa.Table, seconds: Sequence[float]) -> float | None:
    return sum(rows["bytes"].to_pylist()) / sum(seconds) if seconds and sum(seconds) > 0 else None


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _spread(seconds: Sequence[float]) -> Spread | None:
    mean = _mean(seconds)
    return None if mean is None else Spread(min=min(seconds), mean=mean, max=max(seconds))
