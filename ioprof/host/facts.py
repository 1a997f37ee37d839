"""What a reader of a run must know of the host it ran on.

None means not known here; the reason stands in the fact ``unknown``, one clause per fact.
"""

from __future__ import annotations

import os
import platform
import resource
import socket
import statistics
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

from ioprof.host.cgroup import cpu_quota_cores, memory_limit_bytes
from ioprof.host.store_facts import store_facts
from ioprof.host.text import Scalar, chosen, read_int, read_text
from ioprof.host.wall_clock import wall_clock_at_start

__all__ = ["clock_facts", "host_facts", "package_versions", "store_facts"]

_PACKAGES = (
    "ioprof", "torch", "numpy", "pyarrow", "fsspec", "psutil", "pydantic", "rich", "typer", "plotly",
    "s3fs", "gcsfs", "adlfs", "boto3", "webdataset", "torchdata", "nvidia-ml-py",
)  # fmt: skip
_PROC, _SYS = Path("/proc"), Path("/sys")


def host_facts(proc: Path = _PROC, sys: Path = _SYS) -> dict[str, Scalar]:
    """Return facts about this host by name; sizes in bytes, CPU in cores."""
    cpuinfo = read_text(proc / "cpuinfo") or ""
    memory = _meminfo(proc)
    facts: dict[str, Scalar] = {
        "hostname": socket.gethostname(),
        "kernel": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "python": platform.python_version(),
        "cpu_model": _cpuinfo_value(cpuinfo, "model name"),
        "logical_cores": os.cpu_count(),
        "physical_cores": _physical_cores(cpuinfo),
        "affinity_cores": len(os.sched_getaffinity(0)),
        "cgroup_cpu_cores": cpu_quota_cores(proc, sys),
        "memory_bytes": memory.get("MemTotal"),
        "memory_available_bytes": memory.get("MemAvailable"),
        "swap_used_bytes": _difference(memory.get("SwapTotal"), memory.get("SwapFree")),
        "cgroup_memory_bytes": memory_limit_bytes(proc, sys),
        "virtualisation": _virtualisation(cpuinfo, sys),
        "container": _in_container(proc),
        "cpu_governor": read_text(sys / "devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "transparent_hugepages": chosen(read_text(sys / "kernel/mm/transparent_hugepage/enabled")),
        "dev_shm_bytes": _shm(lambda space: space.f_blocks * space.f_frsize),
        "dev_shm_free_bytes": _shm(lambda space: space.f_bavail * space.f_frsize),
        "delay_accounting": _delay_accounting(proc),
        "open_files_soft": _open_files(0),
        "open_files_hard": _open_files(1),
    }
    facts["unknown"] = _unknown(facts, proc, sys)
    return facts


def _unknown(facts: dict[str, Scalar], proc: Path, sys: Path) -> str | None:
    reasons = {
        "cpu_model": f"{proc}/cpuinfo names no model",
        "physical_cores": f"{proc}/cpuinfo has no core ids",
        "cgroup_cpu_cores": "no quota is set",
        "cgroup_memory_bytes": "no limit is set",
        "virtualisation": "no sign of a hypervisor",
        "cpu_governor": f"no cpufreq below {sys}/devices/system/cpu",
        "transparent_hugepages": "the kernel has none",
        "dev_shm_bytes": "there is no /dev/shm",
        "dev_shm_free_bytes": "there is no /dev/shm",
        "delay_accounting": "the kernel has no kernel.task_delayacct",
        "open_files_soft": "unlimited",
        "open_files_hard": "unlimited",
    }
    missing = [name for name, value in facts.items() if value is None]
    return "; ".join(f"{name}: {reasons.get(name, f'not in {proc}')}" for name in missing) or None


def _cpuinfo_value(cpuinfo: str, key: str) -> str | None:
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return None


def _physical_cores(cpuinfo: str) -> int | None:
    package, cores = "", set()
    for line in cpuinfo.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "physical id":
            package = value.strip()
        elif name.strip() == "core id":
            cores.add((package, value.strip()))
    return len(cores) or None


def _meminfo(proc: Path) -> dict[str, int]:
    lines = (line.split() for line in (read_text(proc / "meminfo") or "").splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) > 1}


def _difference(total: int | None, rest: int | None) -> int | None:
    return None if total is None or rest is None else total - rest


def _virtualisation(cpuinfo: str, sys: Path) -> str | None:
    vendor = read_text(sys / "class/dmi/id/sys_vendor")
    product = read_text(sys / "class/dmi/id/product_name")
    kind = read_text(sys / "hypervisor/type")
    if kind or " hypervisor" in (_cpuinfo_value(cpuinfo, "flags") or ""):
        return kind or " ".join(filter(None, (vendor, product))) or "a hypervisor that does not name itself"
    return None


def _in_container(proc: Path) -> bool:
    if Path("/.dockerenv").exists() or Path("/run/.containerenv").exists():
        return True
    if os.environ.get("container") or os.environ.get("KUBERNETES_SERVICE_HOST"):  # noqa: SIM112 - as systemd spells it
        return True
    groups = read_text(proc / "1" / "cgroup") or ""
    return any(name in groups for name in ("docker", "kubepods", "containerd", "lxc"))


def _delay_accounting(proc: Path) -> bool | None:
    """Tell whether the kernel counts the time that threads are blocked for block I/O."""
    setting = read_int(proc / "sys/kernel/task_delayacct")
    return None if setting is None else setting == 1


def _shm(of: Callable[[os.statvfs_result], int]) -> int | None:
    try:
        return of(os.statvfs("/dev/shm"))  # noqa: S108 - asked for its size, nothing is written
    except OSError:
        return None


def _open_files(which: int) -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[which]
    return None if limit == resource.RLIM_INFINITY else limit


def package_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter, by their metadata; none is imported."""
    versions = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def clock_facts(sys: Path = _SYS, read: Callable[[], int] = time.perf_counter_ns) -> dict[str, Scalar]:
    """Return the clock behind every stamp: source in the kernel, resolution, cost of a read, distance to Unix time.

    Durations are in ns.

    Args:
        sys: root of sysfs.
        read: the clock to measure.
    """
    base = sys / "devices/system/clocksource/clocksource0"
    info = time.get_clock_info("perf_counter")
    return {
        "clock": info.implementation,
        "source": read_text(base / "current_clocksource"),
        "available_sources": read_text(base / "available_clocksource"),
        "resolution_ns": info.resolution * 1e9,
        "read_ns": statistics.median(_read_cost_ns(read) for _ in range(9)),
        **wall_clock_at_start(),
    }


def _read_cost_ns(read: Callable[[], int], count: int = 2000) -> float:
    start_ns = time.perf_counter_ns()
    for _ in range(count):
        read()
    return (time.perf_counter_ns() - start_ns) / count
