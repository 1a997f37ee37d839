"""The sampler's sources: what is missing is absent and named, never zero."""

from __future__ import annotations

import ast
import itertools
import os
from pathlib import Path

import pytest

import ioprof.host
from ioprof.host.process_tree import ProcessTree
from ioprof.host.sampler_process import Gatherer
from ioprof.host.spin import Spinner

LIGHT = ("sampler_process", "proc_values", "process_tree", "raw_format", "spin")


def stat_line(*, pid: int, cpu_ticks: int, threads: int = 1, pages: int = 10) -> str:
    """A line as in /proc/PID/stat, of a process with an awkward name."""
    return f"{pid} (a) (b c) S 1 1 1 0 -1 0 0 0 5 2 {cpu_ticks} 0 0 0 20 0 {threads} 0 100 0 {pages} 0"


def add_process(proc: Path, *, pid: int, children: str = "", cpu_ticks: int = 0, files: int = 0) -> None:
    """Put a process into a tree that looks like /proc."""
    task = proc / str(pid) / "task" / str(pid)
    task.mkdir(parents=True)
    (task / "children").write_text(children)
    (proc / str(pid) / "stat").write_text(stat_line(pid=pid, cpu_ticks=cpu_ticks, threads=3))
    (proc / str(pid) / "fd").mkdir()
    for number in range(files):
        (proc / str(pid) / "fd" / str(number)).touch()


def test_a_kernel_without_a_facility_gives_notes_and_no_values(tmp_path: Path) -> None:
    """Hidden files cost their own metrics only, each with a reason."""
    (tmp_path / "loadavg").write_text("0.25 0.1 0.0 1/84 1\n")
    (tmp_path / "meminfo").write_text("MemFree:  what\n")
    notes: dict[str, str] = {}
    gatherer = Gatherer(os.getpid(), notes.__setitem__, proc=str(tmp_path), sys_root=str(tmp_path))
    values = gatherer.read(0)
    assert values["load_average_1min", ""] == 0.25
    assert not any(metric.startswith(("psi_", "disk_", "cpu_", "memory_", "tree_")) for metric, _ in values)
    assert "No such file" in notes["psi_io_*"]
    assert "unreadable" in notes["memory_*, page_cache_bytes"]
    gatherer.read(1)
    assert len(notes) == 8


def test_a_tree_is_its_processes_summed(tmp_path: Path) -> None:
    """Workers started by any descendant count; what is excluded takes its own children along."""
    add_process(tmp_path, pid=10, children="11 12 ", cpu_ticks=100)
    add_process(tmp_path, pid=11, children="13", cpu_ticks=20)
    add_process(tmp_path, pid=12, children="14", cpu_ticks=7)
    add_process(tmp_path, pid=13, cpu_ticks=3)
    add_process(tmp_path, pid=14, cpu_ticks=9)
    tree = ProcessTree(10, proc=str(tmp_path), exclude=frozenset({12}))
    tree.refresh()
    values = tree.read()
    assert values["tree_processes", ""] == 3
    assert values["tree_threads", ""] == 9
    assert values["tree_cpu_s_total", ""] == 123 / os.sysconf("SC_CLK_TCK")
    assert values["tree_rss_bytes", ""] == 30 * os.sysconf("SC_PAGE_SIZE")
    assert values["tree_major_faults_total", ""] == 21


def test_cpu_time_of_the_tree_never_falls(tmp_path: Path) -> None:
    """A process that ends takes its count away; a counter must not run backwards for that."""
    add_process(tmp_path, pid=10, children="11", cpu_ticks=5)
    add_process(tmp_path, pid=11, cpu_ticks=50)
    tree = ProcessTree(10, proc=str(tmp_path))
    tree.refresh()
    before = tree.read()
    (tmp_path / "11" / "stat").write_text("")
    after = tree.read()
    assert after["tree_cpu_s_total", ""] == before["tree_cpu_s_total", ""]
    assert after["tree_processes", ""] == 1


def test_a_watched_process_that_is_gone_has_no_values(tmp_path: Path) -> None:
    """Nothing is known of it any more, which is not zero."""
    tree = ProcessTree(10, proc=str(tmp_path))
    tree.refresh()
    assert tree.read() == {}


def test_the_sampler_imports_the_standard_library_only() -> None:
    """It starts in milliseconds and stays small because it needs no package."""
    import sys

    for name in LIGHT:
        source = Path(ioprof.host.__path__[0], f"{name}.py").read_text()
        imported = {
            node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            for node in ast.walk(ast.parse(source))
            if isinstance(node, ast.Import | ast.ImportFrom)
        }
        roots = {(module or "").split(".")[0] for module in imported}
        assert roots <= sys.stdlib_module_names | {"ioprof"}, name
        own = {module for module in imported if module and module.startswith("ioprof")}
        assert own <= {f"ioprof.host.{light}" for light in LIGHT}, name


def test_each_cpu_is_timed_in_its_turn_and_the_mean_is_that_of_speeds() -> None:
    """One of two turns at half the speed: the work takes 4/3 of the time, as it would of work that never ends."""
    allowed, seen = os.sched_getaffinity(0), list[set[int]]()
    taken = itertools.cycle([100_000, 200_000])

    def worked_ns() -> int:
        seen.append(os.sched_getaffinity(0))
        return next(taken)

    spinner = Spinner(worked_ns)
    for _ in range(2 * len(allowed)):
        spinner.turn()
    assert spinner.read()["core_work_ns", ""] == pytest.approx(400_000 / 3)
    assert seen == [{cpu} for cpu in sorted(allowed)] * 2
    assert spinner.read()["core_work_ns", ""] == pytest.approx(100_000)
    assert Spinner().read()["core_work_ns", ""] > 0
    assert os.sched_getaffinity(0) == allowed
