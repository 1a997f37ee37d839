"""Facts about the host, on trees that look like /proc and /sys."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ioprof.host.cgroup import cpu_quota_cores, cpu_throttled_ns, memory_limit_bytes, memory_room_bytes
from ioprof.host.facts import clock_facts, host_facts, package_versions

CPUINFO = """\
processor\t: 0
model name\t: Some CPU @ 3 GHz
physical id\t: 0
core id\t\t: 0
flags\t\t: fpu hypervisor sse

processor\t: 1
model name\t: Some CPU @ 3 GHz
physical id\t: 0
core id\t\t: 0

processor\t: 2
physical id\t: 1
core id\t\t: 0
"""


def write(root: Path, files: dict[str, str]) -> Path:
    """Make a tree of small files."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def test_cores_memory_and_hypervisor_are_read(tmp_path: Path) -> None:
    """Hyper-threads share a core id, equal core ids on two sockets are two cores, memory is in bytes."""
    proc = write(
        tmp_path / "proc",
        {
            "cpuinfo": CPUINFO,
            "meminfo": "MemTotal: 8 kB\nMemAvailable: 5 kB\nSwapTotal: 4 kB\nSwapFree: 1 kB\n",
        },
    )
    sys_root = write(
        tmp_path / "sys",
        {
            "class/dmi/id/sys_vendor": "QEMU\n",
            "kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
            "devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
        },
    )
    facts = host_facts(proc, sys_root)
    assert facts["cpu_model"] == "Some CPU @ 3 GHz"
    assert facts["physical_cores"] == 2
    assert facts["memory_bytes"] == 8192
    assert facts["swap_used_bytes"] == 3072
    assert facts["virtualisation"] == "QEMU"
    assert facts["transparent_hugepages"] == "madvise"
    assert facts["cpu_governor"] == "powersave"


def test_a_host_that_tells_nothing_gives_none_with_reasons(tmp_path: Path) -> None:
    """What cannot be read is None, never 0, and `unknown` says why for each."""
    facts = host_facts(tmp_path, tmp_path)
    unknown = [name for name, value in facts.items() if value is None]
    assert {"cpu_model", "physical_cores", "memory_bytes", "swap_used_bytes", "cpu_governor"} <= set(unknown)
    assert all(f"{name}: " in str(facts["unknown"]) for name in unknown)


V2 = "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
V1 = (
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "35 31 0:32 /docker/abc /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
)


def test_the_smallest_limit_above_the_process_counts(tmp_path: Path) -> None:
    """Version 2: a parent group may hold back what the own group allows."""
    proc = write(tmp_path / "proc", {"self/cgroup": "0::/a/b\n", "self/mountinfo": V2})
    sys_root = write(
        tmp_path / "sys",
        {
            "fs/cgroup/a/cpu.max": "150000 100000\n",
            "fs/cgroup/a/b/cpu.max": "400000 100000\n",
            "fs/cgroup/a/memory.max": "max\n",
            "fs/cgroup/a/b/memory.max": "1048576\n",
        },
    )
    assert cpu_quota_cores(proc, sys_root) == 1.5
    assert memory_limit_bytes(proc, sys_root) == 1 << 20


def test_version_1_is_read_from_inside_a_container(tmp_path: Path) -> None:
    """The group is named from the host's root, while the mount shows the container's part of the tree."""
    cgroup = "4:memory:/docker/abc\n1:cpu,cpuacct:/slice\n"
    proc = write(tmp_path / "proc", {"self/cgroup": cgroup, "self/mountinfo": V1})
    sys_root = write(
        tmp_path / "sys",
        {
            "fs/cgroup/cpu,cpuacct/slice/cpu.cfs_quota_us": "50000\n",
            "fs/cgroup/cpu,cpuacct/slice/cpu.cfs_period_us": "100000\n",
            "fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
            "fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "fs/cgroup/memory/memory.limit_in_bytes": "4194304\n",
        },
    )
    assert cpu_quota_cores(proc, sys_root) == 0.5
    assert memory_limit_bytes(proc, sys_root) == 4 << 20


@pytest.mark.parametrize("version", [1, 2])
def test_room_in_a_group_is_its_limit_less_what_it_holds_on_to(version: int, tmp_path: Path) -> None:
    """Cached pages that were not used for a while give way; the tightest level counts; without a limit none does."""
    v2 = version == 2
    group, mount = ("0::/a/b\n", V2) if v2 else ("4:memory:/a/b\n", V1.replace("/docker/abc", "/"))
    base, usage = ("fs/cgroup/", "memory.current") if v2 else ("fs/cgroup/memory/", "memory.usage_in_bytes")
    limit, cached = ("memory.max", "inactive_file") if v2 else ("memory.limit_in_bytes", "total_inactive_file")
    proc = write(tmp_path / "proc", {"self/cgroup": group, "self/mountinfo": mount})
    sys_root = write(tmp_path / "sys", {f"{base}a/{usage}": "700\n", f"{base}a/memory.stat": f"anon 9\n{cached} 300\n"})
    assert memory_room_bytes(proc, sys_root) is None
    write(tmp_path / "sys", {f"{base}a/{limit}": "1000\n", f"{base}a/b/{limit}": "5000\n", f"{base}a/b/{usage}": "0\n"})
    assert memory_room_bytes(proc, sys_root) == 600


@pytest.mark.parametrize("version", [1, 2])
def test_how_long_a_quota_held_processes_back_is_told_in_nanoseconds(version: int, tmp_path: Path) -> None:
    """By the level that stood still longest; without any quota it is not known, whatever the group counts."""
    group, mount = ("0::/a/b\n", V2) if version == 2 else ("1:cpu,cpuacct:/a/b\n", V1)
    base = "fs/cgroup/" if version == 2 else "fs/cgroup/cpu,cpuacct/"
    proc = write(tmp_path / "proc", {"self/cgroup": group, "self/mountinfo": mount})
    told = "nr_periods 9\nnr_throttled 2\n"
    told += "throttled_usec 1500\n" if version == 2 else "throttled_time 1500000\n"
    sys_root = write(tmp_path / "sys", {f"{base}a/cpu.stat": told, f"{base}a/b/cpu.stat": told.replace("1500", "2")})
    assert cpu_throttled_ns(proc, sys_root) is None
    quota = (
        {"cpu.max": "150000 100000\n"} if version == 2 else {"cpu.cfs_quota_us": "1500", "cpu.cfs_period_us": "1000"}
    )
    write(tmp_path / "sys", {f"{base}a/{name}": text for name, text in quota.items()})
    assert cpu_throttled_ns(proc, sys_root) == 1_500_000


@pytest.mark.parametrize("limit", ["9223372036854771712", "max"])
def test_no_limit_is_none(tmp_path: Path, limit: str) -> None:
    """Both versions' ways to write 'no limit' are no limit."""
    mountinfo = V2 if limit == "max" else V1.replace("/docker/abc", "/")
    group = "0::/\n" if limit == "max" else "4:memory:/\n"
    name = "fs/cgroup/memory.max" if limit == "max" else "fs/cgroup/memory/memory.limit_in_bytes"
    proc = write(tmp_path / "proc", {"self/cgroup": group, "self/mountinfo": mountinfo})
    assert memory_limit_bytes(proc, write(tmp_path / "sys", {name: limit})) is None


def test_the_clock_names_its_source_and_its_cost(tmp_path: Path) -> None:
    """The kernel's source is read, and the cost of one read is measured on the clock that is handed in."""
    base = "devices/system/clocksource/clocksource0/"
    sys_root = write(tmp_path, {base + "current_clocksource": "hpet\n"})
    facts = clock_facts(sys_root, read=lambda: 0)
    assert facts["source"] == "hpet"
    assert facts["available_sources"] is None
    assert isinstance(facts["read_ns"], float) and 0 < facts["read_ns"] < 100_000


def test_versions_are_known_without_importing() -> None:
    """Asking for versions must not cost the 2 s that importing torch does."""
    code = (
        "import sys; from ioprof.host.facts import package_versions; versions = package_versions();"
        "assert versions['numpy'] and versions['python'], versions;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'pyarrow', 'pydantic')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert package_versions()["python"].count(".") == 2
