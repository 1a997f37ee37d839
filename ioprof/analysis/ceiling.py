"""What was measured beside a run: the store's ceiling and the loader's baselines, or why there are none."""

from __future__ import annotations

from ioprof.analysis.reasons import Reasons
from ioprof.analysis.summary import Baselines, Ceiling
from ioprof.trace.probe_record import BaselineRecord, ProbeRecord
from ioprof.trace.run_record import RunRecord
from ioprof.trace.trace import Trace

NO_RECORD = "there is no probe.json: the run ended before the probe, or an earlier version recorded it"
WATCHED = "a program's own loader was watched: what it reads is not known beforehand, so nothing was measured beside it"
NO_LEVEL = "no level of the probe read anything"
NO_LEVEL_OPENINGS = ("with ", "the climb ended before ")
"""How caveats of a probe begin that tell why it has no level, or no more."""


def ceiling(trace: Trace, reasons: Reasons) -> Ceiling | None:
    """Return the ceiling that the probe found."""
    probe = trace.probe
    found = None if probe is None else probe.ceiling
    why = missing(trace) or no_level(probe, NO_LEVEL)
    reasons.known("ceiling_samples_per_s", None if found is None else found.samples_per_s, why)
    if found is None or probe is None:
        return reasons.known("ceiling", None, why)
    same = probe.level(max(1, workers_of(trace.run)))
    at_workers = reasons.known(
        "ceiling.at_workers_samples_per_s",
        None if same is None else same.samples_per_s,
        "the probe had no level with as many processes as the loader has workers",
    )
    interval = reasons.known("ceiling.ci95", found.samples_per_s_ci95, "too few windows for an interval")
    return Ceiling(
        samples_per_s=found.samples_per_s,
        ci95=interval,
        bytes_per_s=found.bytes_per_s,
        operations_per_s=found.operations_per_s,
        at_processes=found.at_processes,
        processes_needed=found.processes_needed,
        at_workers_samples_per_s=at_workers,
        limited_by=found.limited_by,
        is_lower_bound=found.is_lower_bound,
        evidence=found.evidence,
    )


def baselines(trace: Trace, reasons: Reasons) -> Baselines:
    """Return both baselines."""
    probe, why = trace.probe, missing(trace) or "the probe ended before it"
    parts = {"no_workers": None, "transport": None} if probe is None else {
        "no_workers": probe.no_workers, "transport": probe.transport,
    }  # fmt: skip
    return Baselines(
        **{f"{name}_samples_per_s": _rate(f"baselines.{name}_samples_per_s", part, why, reasons)
           for name, part in parts.items()}
    )  # fmt: skip


def workers_of(run: RunRecord) -> int:
    """Return the loader's worker processes; 0 where it has none or does not say."""
    workers = run.spec.get("loader", {}).get("workers")
    return workers if isinstance(workers, int) else 0


def _rate(key: str, part: BaselineRecord | None, why: str, reasons: Reasons) -> float | None:
    if part is None:
        return reasons.known(key, None, why)
    return reasons.known(key, part.samples_per_s, part.reason or "no rate was recorded")


def missing(trace: Trace) -> str | None:
    """Return why figures may be missing; None: the probe went to its end."""
    probe = trace.probe
    if probe is None and trace.run.accelerator.is_measured:
        return WATCHED
    if probe is None:
        return trace.probe_defect or NO_RECORD
    return None if probe.outcome == "complete" else f"the probe was {_ENDINGS[probe.outcome]}: {probe.reason}"


def no_level(probe: ProbeRecord | None, otherwise: str) -> str:
    """Return the probe's own reasons why levels are missing, each once; ``otherwise`` where it gives none."""
    told = [one for one in (probe.caveats if probe is not None else ()) if one.startswith(NO_LEVEL_OPENINGS)]
    return "; ".join(dict.fromkeys(told)) or otherwise


def is_otherwise_cached(probe: ProbeRecord | None, client_hit_ratio: float | None) -> bool:
    """Tell whether a probe that left the page cache alone got much more, or less, out of it than the run did."""
    if probe is None or probe.cache != "asis" or client_hit_ratio is None:
        return False
    known = [level.client_hit_ratio for level in probe.levels if level.client_hit_ratio is not None]
    return any(abs(hit_ratio - client_hit_ratio) > _OTHERWISE_CACHED for hit_ratio in known)


_OTHERWISE_CACHED = 0.1
"""Shares of bytes from the page cache that differ by more say that one read memory where the other read the store."""
_ENDINGS = {"skipped": "skipped", "interrupted": "interrupted", "failed": "not finished", "running": "not finished"}
