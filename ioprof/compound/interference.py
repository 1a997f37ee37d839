"""From the phases of a mixed run to who slows whom, in figures and in words."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from ioprof.analysis.interference import MeasuredSteps, rate_ratio
from ioprof.analysis.wording import percent, whole_percent
from ioprof.compound.figures import KeyFigures
from ioprof.compound.mixed_record import Interference, PhaseRecord, PipelineRun
from ioprof.spec.model import RunSpec

_UNDISTURBED = 0.95
"""From this share of its rate alone on, a pipeline counts as not disturbed."""
_FASTER = 1.1
"""From this share of its rate alone on, a pipeline that is faster beside others was disturbed when it was alone."""
_FULL_CPU = 0.9
_MET = 0.9
"""Below this share of its window beside the others, a pipeline's ratio is doubtful."""
_PAUSED = 0.1
_WARM = 0.05

Measured = Mapping[tuple[str, str], MeasuredSteps]
"""Steps by phase and pipeline."""


def interference_of(phases: Sequence[PhaseRecord], measured: Measured) -> list[Interference]:
    """Return what each phase of several pipelines did to each of them."""
    alone = {run.pipeline: run for phase in phases if len(phase.runs) == 1 for run in phase.runs}
    return [
        _of_run(phase, run, alone.get(run.pipeline), measured)
        for phase in phases
        if len(phase.runs) > 1
        for run in phase.runs
    ]


def _of_run(phase: PhaseRecord, run: PipelineRun, alone: PipelineRun | None, measured: Measured) -> Interference:
    beside_steps = measured.get((phase.name, run.pipeline))
    alone_steps = measured.get((f"alone-{run.pipeline}", run.pipeline))
    reason = _no_ratio(phase, run, alone)
    ratio = None
    if reason is None and beside_steps is not None and alone_steps is not None:
        ratio = rate_ratio(beside_steps, alone_steps)
        reason = None if ratio else "it had no samples"
    known = ratio is not None and alone is not None
    return Interference(
        phase=phase.name,
        pipeline=run.pipeline,
        beside=[other.pipeline for other in phase.runs if other.pipeline != run.pipeline],
        samples_per_s_ratio=ratio.ratio if ratio else None,
        samples_per_s_ratio_ci95=ratio.ci95 if ratio else None,
        accelerator_utilization_ratio=_au_ratio(run.figures, alone.figures) if known and alone else None,
        p99_ratio=_p99_ratio(run.figures, alone.figures) if known and alone else None,
        reason=reason,
    )


def _no_ratio(phase: PhaseRecord, run: PipelineRun, alone: PipelineRun | None) -> str | None:
    if alone is None:
        return f"{run.pipeline} was not measured alone"
    if phase.outcome != "complete":
        return phase.reason or f"phase {phase.name} did not complete"
    for what, figures in ((f"in phase {phase.name}", run.figures), ("alone", alone.figures)):
        if figures is None or not figures.samples_per_s:
            return f"{run.pipeline} has no measured steps {what}; use a longer --duration"
    return None


def _au_ratio(beside: KeyFigures | None, alone: KeyFigures | None) -> float | None:
    if beside is None or alone is None or beside.accelerator_utilization is None or not alone.accelerator_utilization:
        return None
    return beside.accelerator_utilization / alone.accelerator_utilization


def _p99_ratio(beside: KeyFigures | None, alone: KeyFigures | None) -> float | None:
    if beside is None or alone is None or beside.dearest_operation != alone.dearest_operation:
        return None
    return beside.p99_ns / alone.p99_ns if beside.p99_ns is not None and alone.p99_ns else None


def sentence_of(found: Sequence[Interference], pipelines: int) -> str | None:
    """Return who keeps how much of its rate beside the others; None while nothing is known."""
    known = [one for one in found if one.samples_per_s_ratio is not None and len(one.beside) == pipelines - 1]
    if not known:
        return None
    void = _faster(found)
    known, doubtful = [one for one in known if one.pipeline not in void], known
    if not known:
        return "Nothing can be said of who slows whom: each pipeline was faster beside others than alone."
    disturbed = [one for one in known if (one.samples_per_s_ratio or 0.0) < _UNDISTURBED]
    if not disturbed:
        least = min(known, key=lambda one: one.samples_per_s_ratio or 0.0)
        return (
            f"The pipelines hardly disturb each other: each keeps {_kept(least)} or more of the samples/s that it has "
            "alone."
        )
    told = "; ".join(f"{one.pipeline} keeps {_kept(one)}{_interval(one)}" for one in known)
    told += "".join(f"; of {one.pipeline} nothing can be said" for one in doubtful if one.pipeline in void)
    hardest = min(disturbed, key=lambda one: one.samples_per_s_ratio or 0.0)
    pair = _hardest_pair(found, hardest.pipeline, pipelines)
    return f"Of the samples/s that each has alone, together {told}.{pair}"


def _kept(one: Interference) -> str:
    return whole_percent(one.samples_per_s_ratio or 0.0)


def _interval(one: Interference) -> str:
    if one.samples_per_s_ratio_ci95 is None:
        return " (too few steps for an interval)"
    low, high = one.samples_per_s_ratio_ci95
    return f" (95 % CI {low * 100:.0f} - {high * 100:.0f})"


def _hardest_pair(found: Sequence[Interference], pipeline: str, pipelines: int) -> str:
    pairs = [
        one
        for one in found
        if pipelines > 2 and one.pipeline == pipeline and len(one.beside) == 1 and one.samples_per_s_ratio is not None
    ]
    if not pairs:
        return ""
    worst = min(pairs, key=lambda one: one.samples_per_s_ratio or 0.0)
    return f" What slows {pipeline} most is {worst.beside[0]}: beside it alone it keeps {_kept(worst)}."


def caveats_of(phases: Sequence[PhaseRecord], specs: Mapping[str, RunSpec]) -> list[str]:
    """Return what a reader must know before trusting the ratios."""
    runs = [(phase, run) for phase in phases for run in phase.runs if run.figures is not None]
    return [
        *_cpu_caveat(runs),
        *_overlap_caveats(runs),
        *_pause_caveats(runs),
        *_cache_caveats(runs, specs),
        *_shared_dataset(specs),
    ]


def faster_caveats(found: Sequence[Interference]) -> list[str]:
    """Return which pipelines were faster beside others than alone, which no neighbour can cause."""
    return [
        f"{name} was faster beside others than alone: something disturbed it while it ran alone (other programs, a "
        "cache that was filled since), so its ratios say nothing. Repeat on a quiet machine, with a longer --duration."
        for name in _faster(found)
    ]


def _faster(found: Sequence[Interference]) -> list[str]:
    """Return the pipelines that were faster beside others than alone."""
    names = dict.fromkeys(
        one.pipeline
        for one in found
        if (one.samples_per_s_ratio_ci95 or (one.samples_per_s_ratio or 0.0,))[0] > 1.0
        and (one.samples_per_s_ratio or 0.0) > _FASTER
    )
    return list(names)


def _cpu_caveat(runs: Iterable[tuple[PhaseRecord, PipelineRun]]) -> list[str]:
    busy = [
        run.figures.host_cpu_utilization
        for phase, run in runs
        if len(phase.runs) > 1 and run.figures is not None and run.figures.host_cpu_utilization is not None
    ]
    if not busy or max(busy) < _FULL_CPU:
        return []
    return [
        f"The host's CPUs were up to {percent(max(busy))} busy while pipelines ran together: they also fought for CPU, "
        "so not all of the slowdown is the store's. Use a host with more cores, or fewer workers."
    ]


def _overlap_caveats(runs: Iterable[tuple[PhaseRecord, PipelineRun]]) -> list[str]:
    return [
        f"In phase {phase.name} only {percent(run.overlap_ratio)} of {run.pipeline}'s measured time lay beside the "
        "others': use a longer --duration."
        for phase, run in runs
        if run.overlap_ratio is not None and run.overlap_ratio < _MET
    ]


def _pause_caveats(runs: Iterable[tuple[PhaseRecord, PipelineRun]]) -> list[str]:
    return [
        f"In phase {phase.name} {run.pipeline} stood still for {run.paused_s:.1f} s of {run.window_s:.1f} s, while its "
        "dataset was evicted from the page cache between two epochs: the others ran without it then. A larger dataset "
        "has fewer epochs."
        for phase, run in runs
        if len(phase.runs) > 1 and run.paused_s and run.window_s and run.paused_s / run.window_s > _PAUSED
    ]


def _cache_caveats(runs: Iterable[tuple[PhaseRecord, PipelineRun]], specs: Mapping[str, RunSpec]) -> list[str]:
    return [
        f"In phase {phase.name} this host's page cache served {percent(run.figures.client_hit_ratio)} of "
        f"{run.pipeline}'s bytes, although it was to be cold."
        for phase, run in runs
        if run.figures is not None
        and run.pipeline in specs
        and specs[run.pipeline].run.cache == "cold"
        and run.figures.client_hit_ratio is not None
        and run.figures.client_hit_ratio > _WARM
    ]


def _shared_dataset(specs: Mapping[str, RunSpec]) -> list[str]:
    seen: dict[str, str] = {}
    found = []
    for name, spec in specs.items():
        key = f"{spec.workload} {spec.workload_params!r} {spec.run.seed}"
        if key in seen:
            found.append(f"{seen[key]} and {name} read the same dataset: what one has read, the other finds cached.")
        seen.setdefault(key, name)
    return found
