"""The answer of a run: what binds it, how far that can be relied on, and what would help."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import get_args

import pyarrow as pa
import pyarrow.compute as pc

from ioprof.analysis.bound import BoundName, Evidence
from ioprof.analysis.confidence import reliance
from ioprof.analysis.cure_list import Situation
from ioprof.analysis.findings import Cured, cured, nothing_tried
from ioprof.analysis.idle_causes import IdleByCause
from ioprof.analysis.operations import KindTotals, bytes_read
from ioprof.analysis.pipeline.model import PipelineModel
from ioprof.analysis.reasons import Reasons
from ioprof.analysis.replay_figures import Replayed
from ioprof.analysis.replayed import replay_sentence
from ioprof.analysis.roofline import is_at_store_limit
from ioprof.analysis.roofs import Roofline
from ioprof.analysis.store_limit import bytes_share_of
from ioprof.analysis.summary import Finding, Verdict
from ioprof.analysis.utilization import Progress, Utilization
from ioprof.analysis.verdict import HEALTHY_UTILIZATION, NO_EVIDENCE, NOT_JUDGED, verdict
from ioprof.errors import IoprofError
from ioprof.trace.trace import Trace

_NOT_TRIED = "not asked for when the run was made; ioprof report tells what would help"
_REPEATED = "a replay repeats another run's operations, and nothing else of it"
_NO_BOUND = "no bound was named"
_NOTHING_ELSE = "nothing else was measured that could speak for it or against it"


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurements:
    """What the answer is drawn from."""

    use: Utilization
    done: Progress
    prefetched: int
    """Measured batches that were made before the window opened."""
    names: str | None
    """What a run that works on names alone found; None for other runs."""
    evidence: Evidence | None
    totals: list[KindTotals]
    roofline: Roofline | None
    no_workers_per_s: float | None
    client_hit_ratio: float | None
    tracing_share: float | None
    replay: Replayed | None = None
    """A replay beside the run that it repeats; None for other runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Verdict and findings."""

    verdict: Verdict
    findings: tuple[Finding, ...] | None


UNDECIDED = "findings.undecided"
"""Key of the reasons that tells what might help where nothing does for certain."""

Answering = Callable[[Trace, Measurements, Reasons], Answer]


def answer(trace: Trace, known: Measurements, reasons: Reasons) -> Answer:
    """Return the answer; what of it is null has its reason."""
    if known.replay is not None:
        return _of_replay(known.replay, reasons)
    return _answer(known, reasons, lambda no_bound: _cured(trace, known, no_bound))


def verdict_alone(trace: Trace, known: Measurements, reasons: Reasons) -> Answer:
    """Return the answer without what would help, which takes seconds to predict: for one run of many."""
    if known.replay is not None:
        return _of_replay(known.replay, reasons)
    return _answer(known, reasons, lambda _: nothing_tried(_NOT_TRIED))


def _of_replay(found: Replayed, reasons: Reasons) -> Answer:
    """Return what a replay shows; nothing of it can be tuned."""
    for key in ("verdict.bound", "verdict.confidence", "findings"):
        reasons.by_key[key] = _REPEATED
    return Answer(verdict=Verdict(bound=None, sentence=replay_sentence(found), confidence=None), findings=None)


def _answer(known: Measurements, reasons: Reasons, try_cures: Callable[[str | None], Cured]) -> Answer:
    use, done = known.use, known.done
    found, no_verdict = verdict(
        use.accelerator_utilization,
        use.idle_by_cause,
        done.samples_per_s,
        reasons.by_key.get("accelerator_utilization", ""),
        steps=done.steps,
        prefetched=known.prefetched,
        names=known.names,
        evidence=known.evidence,
        no_evidence=reasons.by_key.get("ceiling", NO_EVIDENCE),
    )
    reasons.by_key.update(no_verdict)
    tried = try_cures(no_verdict.get("verdict.bound"))
    reasons.known("findings", tried.findings, tried.reason or "")
    if tried.undecided is not None:
        reasons.by_key[UNDECIDED] = tried.undecided
    return Answer(verdict=_relied_on(found, known, tried, reasons), findings=tried.findings)


def _relied_on(found: Verdict, known: Measurements, tried: Cured, reasons: Reasons) -> Verdict:
    bound = next((name for name in get_args(BoundName) if name == found.bound), None)
    if bound is None:
        reasons.by_key["verdict.confidence"] = _NO_BOUND
        return found
    cpu_roof = None if known.roofline is None else known.roofline.roofs["cpu"].samples_per_s
    heard = reliance(
        bound,
        known.evidence,
        idle=_seconds(known.use.idle_by_cause),
        utilization_ci95=known.use.accelerator_utilization_ci95,
        cpu_roof_per_s=cpu_roof,
        gains=tried.gains,
    )
    confidence = reasons.known("verdict.confidence", heard.confidence, _NOTHING_ELSE)
    return replace(found, confidence=confidence, agreeing=heard.agreeing, contradictions=heard.contradictions)


def _cured(trace: Trace, known: Measurements, no_bound: str | None) -> Cured:
    """Try the cures, where there is something to cure and enough to judge by."""
    use, rate = known.use.accelerator_utilization, known.done.samples_per_s
    if not rate:
        return nothing_tried("nothing was delivered")
    if no_bound in NOT_JUDGED:
        return nothing_tried(no_bound)
    if use is not None and use >= HEALTHY_UTILIZATION:
        return nothing_tried(None)
    try:
        model = PipelineModel.of(trace)
    except IoprofError as error:
        return nothing_tried(str(error))
    steps = max(1, known.done.steps)
    situation = Situation(
        run=trace.run,
        setting=model.setting,
        totals=known.totals,
        samples=known.done.samples,
        batch_bytes=_batch_bytes(trace.batches) or bytes_read(known.totals) / steps,
        no_workers_per_s=known.no_workers_per_s,
        delivered_per_s=rate,
        most_probed=max((level.processes for level in trace.probe.levels), default=0) if trace.probe else 0,
        is_at_store_limit=is_at_store_limit(known.roofline),
        bytes_share=bytes_share_of(trace.probe),
        directory=trace.directory,
        client_hit_ratio=known.client_hit_ratio,
        tracing_share=known.tracing_share,
        idle_by_cause=_shares(known.use.idle_by_cause),
    )
    return cured(model, situation)


def _batch_bytes(batches: pa.Table) -> float:
    return float(pc.mean(batches["bytes"]).as_py() or 0.0)


def _seconds(idle: IdleByCause | None) -> Mapping[str, float]:
    """Return idle seconds by cause; what is not known counts for nothing."""
    return {} if idle is None else {cause: part or 0.0 for cause, part in asdict(idle).items()}


def _shares(idle: IdleByCause | None) -> Mapping[str, float]:
    seconds = _seconds(idle)
    whole = sum(seconds.values())
    return {cause: part / whole for cause, part in seconds.items()} if whole > 0 else {}
