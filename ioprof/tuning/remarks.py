"""Which limits hold, and what a reader must know of how the winner was found."""

from __future__ import annotations

from collections.abc import Sequence

from ioprof.tuning.choose import NEAR_RATIO, Estimate, Estimates, Next
from ioprof.tuning.limits import Limits
from ioprof.tuning.predictor import Predicted
from ioprof.tuning.setting import Setting
from ioprof.tuning.tunable import Measured
from ioprof.tuning.wording import per_s


def first_refused(settings: Sequence[Setting], limits: Limits) -> dict[str, Setting]:
    """Return the smallest setting that each limit leaves out, by what the limit says of it."""
    found: dict[str, tuple[str, Setting]] = {}
    for setting in sorted(settings):
        reason = limits.refusal(setting)
        if reason is not None:
            found.setdefault(reason.partition(":")[0], (reason, setting))
    return dict(found.values())


def bound_by_limit(winner: Estimate, known: Estimates, settings: Sequence[Setting], limits: Limits) -> str | None:
    """Return the limit that keeps larger settings out that would bring more; None: none does.

    More would bring more where the rate still grew over the last step of worker counts that fit.
    """
    counts = sorted({one.workers for one in known})
    larger = [one for one in settings if one.workers > counts[-1]]
    refused = first_refused(larger, limits)
    if len(counts) < 2 or not refused or winner.setting.workers < counts[-1]:
        return None
    last, before = (
        max(one.samples_per_s for one in known.values() if one.setting.workers == n) for n in counts[-1:-3:-1]
    )
    if before > NEAR_RATIO * last:
        return None
    return next(iter(refused))


def contradiction(measured: Measured, predicted: Predicted | None) -> str | None:
    """Return in which run the prediction was wrong: the two intervals do not even touch; None: it was not."""
    rate, interval = measured.samples_per_s, None if predicted is None else predicted.samples_per_s_ci95
    if predicted is None or rate is None or interval is None:
        return None
    low, high = measured.samples_per_s_ci95 or (rate, rate)
    if min(low, NEAR_RATIO * rate) <= interval[1] and max(high, rate / NEAR_RATIO) >= interval[0]:
        return None
    return (
        f"{measured.setting.told}: {per_s(predicted.samples_per_s)} samples/s were predicted "
        f"({per_s(interval[0])} - {per_s(interval[1])}), and {per_s(rate)} measured; later predictions take that in"
    )


def unmeasured_told(step: Next, known: Estimates, most_runs: int | None = None) -> str:
    """Say what the budget left undone, or where runs ended it, so many of them; None: time did."""
    estimate = known.get(step.setting)
    told = "" if estimate is None else f" (predicted {per_s(estimate.samples_per_s)} samples/s)"
    if most_runs is not None:
        return f"{most_runs} runs, all that a search may take, ended before {step.setting.told} was measured{told}"
    return f"the budget ended before {step.setting.told} was measured{told}; a longer budget would settle it"
