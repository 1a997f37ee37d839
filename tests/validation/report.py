"""The table of a validation: README.md beside the JSON that it is made from."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from tests.validation.judge import MEDIAN_BAR, P95_BAR, Figures, Rerun, figures, reason, unsteady

_ABOUT = """\
Each scenario is run once to calibrate the pipeline model, ceiling and baselines included, as `ioprof run` does. From
that run alone each other setting is predicted and held against a real run of it: the model sees nothing of the rerun.
A control repeats the calibration's own setting at the end: what it moved by is the least that can be shown on this
host. The error is predicted over measured samples/s, less 1.

What shares a core with this host may be another machine's. It makes all that computes slower by up to a factor of 1.7,
for seconds, so a fixed piece of work is timed on each CPU five times a second while a run goes on, and the prediction
is asked for CPUs as fast as they were in the rerun (`ioprof predict --cpu-speed`): the pipeline is what is predicted,
not what others do to the CPUs. The errors of predictions that are not told the speed stand beside them. Where a control
misses by more than 5 % all the same, the host changed in another way: its scenario's reruns are shown and counted
apart, in a table of their own, and not judged.

A run that was disturbed (others used more than 0.15 CPUs) or whose own rate is not known to 1.5 % was made again,
whatever its prediction, and the better one counts. A scenario whose control missed was
made again as a whole, and the steadier one counts.
"""
_OVER = "over the calibration's: predicted, measured"
_CI = "95 % interval"
_USED = "utilisation: predicted, measured"
_PINNED = """\
Pinned memory is not among the changes: torch copies batches into page-locked memory only for a CUDA device, and
without one ioprof refuses `pin = true`.
"""


def line(rerun: Rerun) -> str:
    """Return one rerun as a line, for whoever watches."""
    said = f"{rerun.predicted.samples_per_s:10,.1f}" if rerun.predicted is not None else f"{'refused':>10}"
    error = f"{rerun.error_ratio:+7.1%}" if math.isfinite(rerun.error_ratio) else f"{'':>7}"
    untold = f" (CPUs not told: {rerun.untold_error_ratio:+.1%})" if rerun.speed_factor is not None else ""
    return (
        f"{said} {rerun.measured.samples_per_s:10,.1f} samples/s {error}  {rerun.scenario}: "
        f"{rerun.change or 'control'}{untold}"
    )


def verdict(reruns: Sequence[Rerun]) -> list[str]:
    """Return the answer: how far predictions were off, how steady the host was, and the worst with its reason."""
    judged, controls = judged_of(reruns), split(reruns)[1]
    apart = [one for one in split(reruns)[0] if one not in judged]
    told = list[str]()
    if judged:
        found = figures([one.error_ratio for one in judged])
        held = "kept" if found.holds else "missed"
        asked = f"asked for: at most {MEDIAN_BAR:.0%} and {P95_BAR:.0%}, {held}"
        told.append(f"{_told(found, 'real reruns, the speed of the CPUs told')} ({asked}).")
        untold = figures([one.untold_error_ratio for one in judged])
        told.append(f"{_told(untold, 'the same, the speed of the CPUs not told')}.")
        inside = sum(one.is_in_interval for one in judged)
        told.append(f"{inside} of {len(judged)} measured rates lie in the interval that was predicted.")
    if apart:
        told.append(f"{_told(figures([one.error_ratio for one in apart]), 'more reruns, while the host changed')}.")
    if controls:
        moved = [one.measured.samples_per_s / one.calibrated.samples_per_s - 1 for one in controls]
        told.append(f"{_told(figures(moved), 'controls, measured against measured')}.")
        own = figures([one.error_ratio for one in controls])
        told.append(f"{_told(own, 'controls, predicted against measured')}.")
    if judged:
        worst = max(judged, key=lambda one: abs(one.error_ratio))
        told.append(f"The worst: {_missed(worst, controls)}")
    return told


def judged_of(reruns: Sequence[Rerun]) -> list[Rerun]:
    """Return the reruns that the answer is about: those of scenarios whose host stayed the same."""
    changed = unsteady(reruns)
    return [one for one in split(reruns)[0] if one.scenario not in changed]


def split(reruns: Sequence[Rerun]) -> tuple[list[Rerun], list[Rerun]]:
    """Return the reruns that something changed in, and the controls."""
    return [one for one in reruns if not one.is_control], [one for one in reruns if one.is_control]


def readme(reruns: Sequence[Rerun], host: str, command: str) -> str:
    """Return the page."""
    controls, changed = split(reruns)[1], unsteady(reruns)
    answer = "\n".join(f"- {one}" for one in verdict(reruns))
    furthest = "\n".join(_furthest(judged_of(reruns), controls))
    return f"""\
# Predictions against real reruns

Made by `{command}` on {host}; the same command writes this page and `validation.json`.

{_ABOUT}
{answer}

{_table([one for one in reruns if one.scenario not in changed])}

## Furthest off, and what their traces show

{furthest}

{_apart(reruns, changed)}{_PINNED}"""


def _table(reruns: Sequence[Rerun]) -> str:
    rows = "\n".join(map(_row, reruns))
    return f"""\
| scenario | change | predicted samples/s ({_CI}) | measured ({_CI}) | error | not told | {_OVER} | {_USED} |
|---|---|---|---|---|---|---|---|
{rows}"""


def _apart(reruns: Sequence[Rerun], changed: Mapping[str, float]) -> str:
    if not changed:
        return ""
    reasons = "\n".join(
        f"- {scenario}: its control missed by {error:+.1%}: {_why_moved(reruns, scenario)}."
        for scenario, error in changed.items()
    )
    return f"""\
## While the host changed

{reasons}

{_table([one for one in reruns if one.scenario in changed])}

"""


def _why_moved(reruns: Sequence[Rerun], scenario: str) -> str:
    control = next(one for one in reruns if one.is_control and one.scenario == scenario)
    return reason(control, None) or "nothing that was recorded says why"


def _told(found: Figures, what: str) -> str:
    return (
        f"{found.count} {what}: error of samples/s in the median {found.median:.1%}, "
        f"95th percentile {found.p95:.1%}, worst {found.worst:.1%}"
    )


def _row(one: Rerun) -> str:
    said, found, before = one.predicted, one.measured, one.calibrated.samples_per_s
    cells = [
        one.scenario,
        one.change or "control",
        f"{said.samples_per_s:,.1f}{_between(said.ci95)}" if said else "refused",
        f"{found.samples_per_s:,.1f}{_between(found.ci95)}",
        f"{one.error_ratio:+.1%}" if said else "",
        f"{one.untold_error_ratio:+.1%}" if one.untold and one.speed_factor is not None else "",
        f"x{said.samples_per_s / before:.3f}, x{found.samples_per_s / before:.3f}" if said else "",
        _both(said.accelerator_utilization if said else None, found.accelerator_utilization),
    ]
    return f"| {' | '.join(cells)} |"


def _between(interval: tuple[float, float] | None) -> str:
    return "" if interval is None else f" ({interval[0]:,.1f} - {interval[1]:,.1f})"


def _both(predicted: float | None, measured: float | None) -> str:
    return "" if predicted is None or measured is None else f"{predicted:.1%}, {measured:.1%}"


def _furthest(judged: Sequence[Rerun], controls: Sequence[Rerun], count: int = 6) -> Iterator[str]:
    for one in sorted(judged, key=lambda one: -abs(one.error_ratio))[:count]:
        yield f"- {_missed(one, controls)}"


def _missed(one: Rerun, controls: Sequence[Rerun]) -> str:
    control = next((other for other in controls if other.scenario == one.scenario), None)
    off = f"{one.error_ratio:+.1%}" if one.predicted else "no prediction"
    return f"{one.scenario}: {one.change}: {off}: {reason(one, control)}."
