"""What bound the winner: by the other settings that were tried, the store's ceiling, and what its own run says."""

from __future__ import annotations

from ioprof.analysis.bound import CLOSE_RATIO
from ioprof.analysis.store_limit import StoreBound, bytes_share_of, is_growing, store_bound
from ioprof.analysis.summary import Summary
from ioprof.analysis.verdict import HEALTHY_UTILIZATION
from ioprof.analysis.wording import percent
from ioprof.trace.kinds import READ_KINDS, STORAGE_KINDS, WRITE_KINDS
from ioprof.trace.probe_record import ProbeRecord
from ioprof.tuning.choose import Estimate, Estimates, best
from ioprof.tuning.tunable import Judged
from ioprof.tuning.wording import per_s

_OF_ONE_RUN = ("cpu", "transfer", "order", "loader", "storage-latency", "storage-bandwidth", "metadata")
"""What a run's own verdict is believed; of workers and prefetch the other settings tell more."""


def why(winner: Estimate, known: Estimates, limit: str | None, judged: Judged) -> tuple[str | None, str]:
    """Return what bound the winner, one of `BoundName` or None, and a sentence with the evidence.

    Args:
        winner: the recommended setting.
        known: every setting that something is known of.
        limit: what keeps larger settings out that would bring more; None: nothing does.
        judged: what its own run and the probe say.
    """
    busy = winner.accelerator_utilization
    if busy is not None and busy >= HEALTHY_UTILIZATION:
        return "accelerator", f"The accelerator is busy {percent(busy)} of the time: nothing starves it."
    if limit is not None:
        return "workers", f"More workers would bring more; what leaves them out is {limit}."
    if winner.setting.workers == 0 and (told := _in_vain(winner, known)) is not None:
        return "loader", told
    if judged.most_per_s is not None and winner.samples_per_s * CLOSE_RATIO >= judged.most_per_s:
        return judged.store_bound, (
            f"The store gives no more than {per_s(judged.most_per_s)} samples/s, to {judged.most_processes} plain "
            "processes without any loader."
        )
    if judged.bound in _OF_ONE_RUN:
        return judged.bound, judged.sentence
    return None, f"{_flat(winner, known)}, and no single part explains it."


def store_bound_of(summary: Summary, probe: ProbeRecord | None) -> StoreBound:
    """Return which property of the store its ceiling is one of, for operations like a run's."""
    spent_ns = {
        kind: found.count * found.latency_ns.mean
        for kind in STORAGE_KINDS
        if (found := summary.operations.get(kind.label)) is not None and found.latency_ns is not None
    }
    whole_ns = sum(spent_ns.values())
    moving_ns = sum(time_ns for kind, time_ns in spent_ns.items() if kind in (*READ_KINDS, *WRITE_KINDS))
    reads = [summary.operations[kind.label] for kind in READ_KINDS if kind.label in summary.operations]
    return store_bound(
        metadata_share=1 - moving_ns / whole_ns if whole_ns else 0.0,
        bytes_share=bytes_share_of(probe),
        is_growing=probe is not None and is_growing(probe.levels),
        read_bytes=sum(one.bytes for one in reads) / max(1, sum(one.count for one in reads)),
    )


def _in_vain(winner: Estimate, known: Estimates) -> str | None:
    """Say what workers did where having none is best; None: none were tried."""
    tried = {setting: one for setting, one in known.items() if one.is_measured and setting.workers}
    if not tried:
        return None
    most = best(tried)
    told = "Workers cost more than they bring: moving batches between processes takes longer than making them"
    return f"{told} (with {most.setting.told}: {per_s(most.samples_per_s)} samples/s)."


def _flat(winner: Estimate, known: Estimates) -> str:
    """Say that more workers do not help, by the largest count that was run."""
    more = [one for setting, one in known.items() if one.is_measured and setting.workers > winner.setting.workers]
    if not more:
        return "More workers are predicted to bring no more"
    return f"More workers bring no more ({more[-1].setting.told}: {per_s(more[-1].samples_per_s)} samples/s)"
