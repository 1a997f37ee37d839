"""What would spoil a measurement on this host: checks over evidence, the worst first."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ioprof.host import checks_cpu, checks_memory, checks_store
from ioprof.host.check import Check, Severity, note, ok, problem, warning
from ioprof.host.evidence import DoctorContext, Evidence, gather

__all__ = ["Check", "DoctorContext", "Severity", "conclusion", "judge", "run_checks"]

ORDER: tuple[Severity, ...] = ("problem", "warning", "note", "ok")
"""How checks are listed."""
_MINIMUM_DRIVER = {11: 450, 12: 525, 13: 580}
"""Oldest driver per major version of CUDA, from NVIDIA's CUDA compatibility table."""


def torch_build(evidence: Evidence) -> Check:
    """Is torch there, and does its build suit the driver?"""
    version, cuda = evidence.versions.get("torch"), evidence.cuda
    if version is None:
        advice = "pip install torch (loaders made of torch's DataLoader need it)"
        return problem("torch", "torch", "not installed", advice)
    if cuda.driver is None:
        return ok("torch", "torch", f"{version}; no NVIDIA driver is loaded, accelerators are emulated")
    if cuda.is_cpu_build:
        advice = "install a CUDA build of torch to drive the device; emulated accelerators work as they are"
        return note("torch", "torch", f"{version} has no CUDA, but an NVIDIA driver is loaded", advice)
    oldest = _MINIMUM_DRIVER.get(cuda.torch_cuda or 0)
    if oldest is not None and cuda.driver < oldest:
        finding = f"{version} needs driver {oldest} or later (CUDA {cuda.torch_cuda}); {cuda.driver} is loaded"
        return warning("torch", "torch", finding, "update the driver, or install torch for an older CUDA")
    return ok("torch", "torch", f"{version} with NVIDIA driver {cuda.driver}")


RULES: tuple[Callable[[Evidence], Check | None], ...] = (
    checks_store.place,
    checks_store.throttle,
    checks_store.space,
    checks_store.inodes,
    checks_store.filesystem,
    checks_store.device,
    checks_store.eviction,
    checks_store.drop_caches,
    checks_store.cache_evidence,
    checks_memory.dataset_and_memory,
    checks_memory.shared_memory,
    checks_memory.open_files,
    checks_memory.swap,
    checks_cpu.affinity,
    checks_cpu.quota,
    checks_cpu.worker_count,
    checks_cpu.governor,
    checks_cpu.steal,
    checks_cpu.clock_source,
    checks_cpu.clock_cost,
    checks_cpu.reads,
    checks_cpu.other_work,
    checks_cpu.other_runs,
    checks_memory.pressure,
    checks_memory.schedstat,
    checks_memory.process_io,
    checks_memory.delay_accounting,
    torch_build,
)


def run_checks(context: DoctorContext) -> list[Check]:
    """Look at the host and judge it; takes about 0.6 s."""
    return judge(gather(context))


def judge(evidence: Evidence) -> list[Check]:
    """Return the checks that apply, problems first; within a severity in the order of `RULES`."""
    checks = [check for rule in RULES if (check := rule(evidence)) is not None]
    return sorted(checks, key=lambda check: ORDER.index(check.severity))


def conclusion(checks: Sequence[Check]) -> str:
    """Return what all checks together mean, in one sentence."""
    problems = [check.title for check in checks if check.severity == "problem"]
    warnings = [check.title for check in checks if check.severity == "warning"]
    if problems:
        return f"A run here would fail or mislead: see to {_listed(problems)} first."
    if warnings:
        return f"Runs will work here, but {_listed(warnings)} would bend their numbers."
    return f"Nothing here would spoil a measurement ({len(checks)} checks)."


def _listed(titles: Sequence[str]) -> str:
    return titles[0] if len(titles) == 1 else f"{', '.join(titles[:-1])} and {titles[-1]}"
