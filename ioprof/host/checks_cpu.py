"""Checks of CPUs, clocks, and who else uses them."""

from __future__ import annotations

from ioprof.host.check import Check, note, ok, warning
from ioprof.host.evidence import Evidence
from ioprof.store.compiled import VARIABLE

_GOOD_CLOCKS = ("tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page")
"""Clocks that are read without a system call."""
_SLOW_CLOCK_NS = 250.0
_LOUD_CORES = 0.2
_STEAL_RATIO = 0.02


def affinity(evidence: Evidence) -> Check:
    """May this process run on every CPU?"""
    usable, cores = evidence.host["affinity_cores"], evidence.host["logical_cores"]
    finding = f"this process may run on {usable} of {cores} CPUs"
    if isinstance(usable, int) and isinstance(cores, int) and usable < cores:
        advice = "workers share these; widen it with taskset -c or in the job scheduler (--cpus-per-task)"
        return warning("cpu-affinity", "CPU affinity", finding, advice)
    return ok("cpu-affinity", "CPU affinity", finding)


def quota(evidence: Evidence) -> Check:
    """Does a control group hold back CPU time?"""
    cores, usable = evidence.host["cgroup_cpu_cores"], evidence.host["affinity_cores"]
    if not isinstance(cores, float):
        return ok("cpu-quota", "CPU quota", "no control group limits CPU time")
    finding = f"the control group allows {cores:g} cores' worth of CPU time; {usable} CPUs are visible"
    if isinstance(usable, int) and cores < usable:
        advice = (
            "beyond it workers stand still for the rest of each period, which looks like slow storage; "
            "raise it (docker --cpus, Kubernetes limits.cpu) or use no more workers than it feeds"
        )
        return warning("cpu-quota", "CPU quota", finding, advice)
    return ok("cpu-quota", "CPU quota", finding)


def worker_count(evidence: Evidence) -> Check | None:
    """Do the workers fit the CPUs?"""
    workers, usable = evidence.context.workers, evidence.host["affinity_cores"]
    limit = evidence.host["cgroup_cpu_cores"]
    if workers is None or not isinstance(usable, int):
        return None
    cores = min(float(usable), limit) if isinstance(limit, float) else float(usable)
    finding = f"{workers} workers and the consumer on {cores:g} cores"
    if workers + 1 > cores:
        advice = "fine for workers that mostly wait for storage; where they decode, they wait for each other"
        return note("worker-count", "workers", finding, advice)
    return ok("worker-count", "workers", finding)


def clock_source(evidence: Evidence) -> Check:
    """Is the clock one that can be read without a system call?"""
    source = evidence.clock["source"]
    if source is None:
        return note("clock-source", "clock source", "the kernel does not name its clock source here")
    if source in _GOOD_CLOCKS:
        return ok("clock-source", "clock source", f"{source}")
    finding = f"{source} (available: {evidence.clock['available_sources']})"
    advice = "every stamp costs a system call or jumps; choose tsc or kvm-clock (boot with clocksource=tsc)"
    return warning("clock-source", "clock source", finding, advice)


def clock_cost(evidence: Evidence) -> Check:
    """Is reading the clock cheap?"""
    read_ns = evidence.clock["read_ns"]
    finding = f"one reading takes {read_ns:.0f} ns"
    if isinstance(read_ns, float) and read_ns > _SLOW_CLOCK_NS:
        advice = f"over {_SLOW_CLOCK_NS:.0f} ns, tracing small operations costs noticeably: mind the overhead"
        return warning("clock-cost", "clock cost", finding, advice)
    return ok("clock-cost", "clock cost", finding)


def reads(evidence: Evidence) -> Check:
    """Are small files read by the compiled loop?"""
    title = "reads of whole files"
    if evidence.reads == "compiled":
        return ok("reads", title, "compiled")
    if evidence.reads_are_chosen:
        return note("reads", title, f"Python, as {VARIABLE} says", f"unset {VARIABLE} to use the compiled loop")
    advice = (
        "files of a few KiB are read up to a third more slowly than this host could; install a C compiler and Python's "
        "headers (Debian: gcc python3-dev), then ioprof again"
    )
    return note("reads", title, "Python (no compiler when ioprof was installed)", advice)


def steal(evidence: Evidence) -> Check | None:
    """Does the hypervisor take CPU time away?"""
    load, cores = evidence.load, evidence.host["logical_cores"]
    if load is None or not isinstance(cores, int):
        return None
    ratio = load.steal_cores / cores
    finding = f"{100 * ratio:.1f} % of CPU time went to other virtual machines just now"
    if ratio > _STEAL_RATIO:
        advice = "timings will swing; repeat runs, compare interleaved (A B A B), or move to a dedicated host"
        return warning("cpu-steal", "stolen CPU time", finding, advice)
    return ok("cpu-steal", "stolen CPU time", finding)


def governor(evidence: Evidence) -> Check:
    """Do the CPUs keep their clock rate?"""
    name = evidence.host["cpu_governor"]
    if name is None:
        return ok("cpu-governor", "CPU governor", "none is visible (a virtual machine, or fixed by firmware)")
    if name == "performance":
        return ok("cpu-governor", "CPU governor", "performance")
    advice = "CPUs clock down while they wait for storage; sudo cpupower frequency-set -g performance"
    return warning("cpu-governor", "CPU governor", f"{name}", advice)


def other_work(evidence: Evidence) -> Check | None:
    """Is anything else at work now?"""
    load = evidence.load
    if load is None:
        return None
    finding = f"other processes use {load.cores:.2f} cores now"
    if load.cores <= _LOUD_CORES:
        return ok("other-load", "other load", finding)
    who = f": {', '.join(load.busiest)}" if load.busiest else ""
    advice = "stop them or wait: they take CPU, memory bandwidth and perhaps the same storage"
    return warning("other-load", "other load", finding + who, advice)


def other_runs(evidence: Evidence) -> Check:
    """Is another ioprof loading this host?"""
    if not evidence.runs:
        return ok("other-runs", "other runs of ioprof", "none")
    running = "; ".join(f"pid {run.pid}: {run.command}" for run in evidence.runs)
    advice = "let it finish first: two runs at once measure each other"
    return warning("other-runs", "other runs of ioprof", running, advice)
