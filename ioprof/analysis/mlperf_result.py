"""A run of one of MLPerf Storage's workloads, as their report would show it and by the rules it would have to keep."""

from __future__ import annotations

from ioprof.analysis.mlperf import MlperfRates
from ioprof.analysis.reasons import Reasons
from ioprof.analysis.summary import MlperfResult
from ioprof.trace.run_record import RunRecord

NO_RULES = "the workload is none of MLPerf Storage's"
MIB = 1 << 20


def mlperf_result(run: RunRecord, rates: MlperfRates | str, au: float | None, reasons: Reasons) -> MlperfResult | None:
    """Return their figures and whether they may stand beside published ones; None for other workloads.

    Args:
        run: the record.
        rates: what their formulas give, or why nothing.
        au: their utilisation; None where there is none.
        reasons: takes in why a figure is missing.
    """
    rules = run.mlperf
    if rules is None:
        reasons.by_key["mlperf"] = NO_RULES
        return None
    why = rates if isinstance(rates, str) else reasons.by_key.get("mlperf_au", "")
    samples_per_s = None if isinstance(rates, str) else rates.samples_per_s
    for key in ("samples_per_s", "mib_per_s"):
        reasons.known(f"mlperf.{key}", samples_per_s, why)
    reasons.known("mlperf.au", au, why)
    reasons.known("mlperf.threshold", rules.threshold, "its configuration names none")
    passed = None if au is None or rules.threshold is None else au >= rules.threshold
    reasons.known("mlperf.passed", passed, why if au is None else "its configuration names no threshold")
    against = [*rules.not_comparable]
    if run.outcome != "complete":
        against.append("the run did not complete")
    return MlperfResult(
        comparable=not against,
        reasons=tuple(against),
        threshold=rules.threshold,
        passed=passed,
        au=au,
        samples_per_s=samples_per_s,
        mib_per_s=None if samples_per_s is None else samples_per_s * rules.record_bytes / MIB,
    )
