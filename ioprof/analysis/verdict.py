"""The answer in one sentence: what binds the run, as far as the evidence goes."""

from __future__ import annotations

from ioprof.analysis.bootstrap import MIN_STEPS
from ioprof.analysis.bound import BoundName, Evidence, bound_of
from ioprof.analysis.idle_causes import GROUPS, IdleByCause
from ioprof.analysis.summary import Verdict
from ioprof.analysis.wording import percent, whole_percent

HEALTHY_UTILIZATION = 0.95
"""At this utilisation nothing worth naming starves the accelerator."""
MAIN_CAUSE_SHARE = 0.5
"""A cause is named as the main one when it holds more than half of the idle time."""
WORTHLESS_PREFETCHED_SHARE = 0.2
"""Beyond this share of measured batches made ahead, the figures tell of the warm-up's work."""
TOO_FEW = "too few steps to judge"
NOT_JUDGED = (TOO_FEW,)
"""Reasons for which nothing at all is concluded."""
NO_EVIDENCE = "needs the store's ceiling and the loader's baselines, which were not measured"

_CAUSE_WORDS = {
    "storage": "inside storage operations",
    "prep": "preparing samples on the CPU",
    "dataset": "for the dataset's own code, which reads and prepares samples",
    "delivery": "in the loader's own code, and for batches on their way to the consumer",
    "transfer": "copying batches to the accelerator",
    "rules": "while workers had to stand still: by the prefetch limit, or by delivery in order",
    "start_up": "for workers to come up, or the loader to close down",
    "step_sync": "for other ranks",
    "host_late": "for a CPU to go on after a step that was over",
    "checkpoint": "for checkpoints to be saved",
    "unexplained": "where no stage accounts for it",
}


def verdict(
    utilization: float | None,
    idle: IdleByCause | None,
    samples_per_s: float | None,
    no_utilization: str,
    *,
    steps: int,
    prefetched: int,
    names: str | None = None,
    evidence: Evidence | None = None,
    no_evidence: str = NO_EVIDENCE,
) -> tuple[Verdict, dict[str, str]]:
    """Return the verdict and the reasons of its nulls.

    Args:
        utilization: accelerator utilisation, None if there is none.
        idle: idle time by cause, None if there is none.
        samples_per_s: delivered rate, None if there is none.
        no_utilization: why there is no utilisation; unused otherwise.
        steps: measured steps.
        prefetched: measured batches that were made before the window opened.
        names: what a run that works on names alone found; None for other runs.
        evidence: what was measured beside it; None: nothing was.
        no_evidence: why nothing was; unused otherwise.
    """
    reasons: dict[str, str] = {}
    if 0 < steps < MIN_STEPS or prefetched > steps * WORTHLESS_PREFETCHED_SHARE:
        reasons["verdict.bound"] = TOO_FEW
        return Verdict(bound=None, sentence=_too_few(steps, prefetched), confidence=None), reasons
    if names is not None and (utilization is None or idle is None):
        return Verdict(bound="metadata", sentence=f"{names} {_NO_DEMAND}", confidence=None), reasons
    if utilization is None or idle is None:
        if evidence is not None and samples_per_s is not None:
            head = f"The loader delivered {samples_per_s:,.0f} samples/s as fast as they were taken"
            if (found := _found(head, evidence, reasons)) is not None:
                return found
        reasons["verdict.bound"] = no_utilization
        return Verdict(bound=None, sentence=_without_accelerator(samples_per_s), confidence=None), reasons
    if utilization >= HEALTHY_UTILIZATION:
        sentence = f"The accelerator was fed: {percent(utilization)} busy; nothing to change."
        return Verdict(bound="accelerator", sentence=sentence, confidence=None), reasons
    starved = _starved(utilization, idle)
    if evidence is not None and (found := _found(starved.removesuffix("."), evidence, reasons)) is not None:
        return found
    reasons["verdict.bound"] = no_evidence
    return Verdict(bound=None, sentence=starved, confidence=None), reasons


def _found(head: str, evidence: Evidence, reasons: dict[str, str]) -> tuple[Verdict, dict[str, str]] | None:
    """Return the verdict that the evidence leads to, and its reasons; None: to none, and nothing was probed."""
    found = bound_of(evidence)
    if found.name is None and evidence.best_per_s is None and evidence.transport_per_s is None:
        return None
    if found.name is None:
        reasons["verdict.bound"] = found.because
    told = f"{found.because[:1].upper()}{found.because[1:]}"
    opening = "" if found.name is None else f"{_BOUND_WORDS[found.name]}: "
    sentence = f"{head}. {opening}{found.because if opening else told}."
    return Verdict(bound=found.name, sentence=sentence, confidence=None), reasons


_BOUND_WORDS: dict[BoundName, str] = {
    "accelerator": "Nothing starves it",
    "storage-latency": "The store's latency and IOPS are the limit",
    "storage-bandwidth": "The store's bandwidth is the limit",
    "metadata": "The store's metadata operations are the limit",
    "cpu": "This host's CPUs are the limit, not the store",
    "loader": "The loader is the limit, not the store",
    "workers": "There are too few workers",
    "prefetch": "Too few batches are made ahead",
    "order": "Batches that come in order wait for slow ones",
    "transfer": "Copies to the accelerator are the limit",
}


_NO_DEMAND = "Without an accelerator there is no demand to hold that against."


def _too_few(steps: int, prefetched: int) -> str:
    ahead = f", {prefetched:,} of them prefetched during warm-up" if prefetched else ""
    return (
        f"Too few steps to judge: {steps:,} measured{ahead}. "
        "Run longer (--duration, --epochs) or use a smaller --warmup."
    )


def _without_accelerator(samples_per_s: float | None) -> str:
    if samples_per_s is None:
        return "Nothing was measured: no step lies beyond the warm-up."
    return (
        f"The loader delivered {samples_per_s:,.0f} samples/s as fast as they were taken; "
        f"{_NO_DEMAND[0].lower()}{_NO_DEMAND[1:]}"
    )


def _starved(utilization: float, idle: IdleByCause) -> str:
    parts = sorted(((group, idle.of(group)) for group in GROUPS), key=lambda part: -part[1])
    total = sum(seconds for _, seconds in parts)
    head = f"The accelerator stood idle {percent(1 - utilization)} of the time; "
    if total <= 0:
        return head + "no cause is known."
    (first, most), (second, next_most) = parts[:2]
    told = f"{whole_percent(most / total)} of that waiting {_CAUSE_WORDS[first]}"
    if most / total <= MAIN_CAUSE_SHARE:
        told += f" and {whole_percent(next_most / total)} {_CAUSE_WORDS[second]}"
    return head + told + "."
