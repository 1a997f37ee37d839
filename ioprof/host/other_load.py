"""Who else is at work on this host: CPU taken by others, and other runs of ioprof."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ioprof.host.proc_values import cpu_values

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_NAMED_CORES = 0.05
"""Processes below this are noise."""
_LOADING = frozenset({"run", "prepare", "probe", "tune", "suite", "scale", "profile", "replay", "selftest"})


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherLoad:
    """CPU used by everything but this process over a short interval, in cores."""

    cores: float
    steal_cores: float
    """CPU time the hypervisor gave to other machines."""
    busiest: tuple[str, ...]
    """Up to three processes as ``name (pid N) 0.93``, the busiest first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherRun:
    """A process of ioprof that may be loading the same host."""

    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class _Moment:
    time_ns: int
    busy_s: float
    steal_s: float
    own_s: float
    by_process: dict[tuple[int, str], float]


def other_load(
    proc: Path = Path("/proc"), interval_s: float = 0.5, sleep: Callable[[float], None] = time.sleep
) -> OtherLoad | None:
    """Measure for ``interval_s`` seconds; None where /proc/stat is missing."""
    try:
        first = _moment(proc)
        sleep(interval_s)
        last = _moment(proc)
    except (OSError, KeyError, IndexError, ValueError):
        return None
    elapsed_s = max(1e-9, (last.time_ns - first.time_ns) / 1e9)
    used = {key: s - first.by_process.get(key, s) for key, s in last.by_process.items()}
    ranked = sorted(used.items(), key=lambda item: -item[1])[:3]
    return OtherLoad(
        cores=max(0.0, (last.busy_s - first.busy_s - (last.own_s - first.own_s)) / elapsed_s),
        steal_cores=max(0.0, (last.steal_s - first.steal_s) / elapsed_s),
        busiest=tuple(
            f"{name} (pid {pid}) {s / elapsed_s:.2f}" for (pid, name), s in ranked if s > _NAMED_CORES * elapsed_s
        ),
    )


def _moment(proc: Path) -> _Moment:
    by_process = {(pid, name): s for pid, name, s in _processes(proc) if pid != os.getpid()}
    host = cpu_values((proc / "stat").read_bytes())
    return _Moment(
        time.perf_counter_ns(),
        host["cpu_busy_s_total", ""],
        host["cpu_steal_s_total", ""],
        time.process_time(),
        by_process,
    )


def _processes(proc: Path) -> Iterator[tuple[int, str, float]]:
    for pid in _process_ids(proc):
        stat = _content(proc / str(pid) / "stat").decode(errors="replace")
        if ")" in stat:
            fields = stat[stat.rindex(")") + 2 :].split()
            name = stat[stat.index("(") + 1 : stat.rindex(")")]
            yield pid, name, (int(fields[11]) + int(fields[12])) * _TICK_S


def other_runs(proc: Path = Path("/proc"), own_pid: int | None = None) -> list[OtherRun]:
    """Return other processes that are loading commands of ioprof, without their workers."""
    own_pid = os.getpid() if own_pid is None else own_pid
    commands = {pid: _content(proc / str(pid) / "cmdline") for pid in _process_ids(proc)}
    runs = {pid: text for pid, raw in commands.items() if (text := _loading_command(raw)) is not None}
    ours = set(_lineage(proc, own_pid))
    return [
        OtherRun(pid=pid, command=command)
        for pid, command in sorted(runs.items())
        if pid not in ours and _parent(proc, pid) not in runs
    ]


def _loading_command(raw: bytes) -> str | None:
    """Return the command line if it is one of ioprof's that load the host."""
    words = [word.decode(errors="replace") for word in raw.split(b"\0") if word]
    for position, word in enumerate(words[:4]):
        is_module = word in ("ioprof", "ioprof.cli.main") and words[position - 1] == "-m"
        is_script = position == 1 and Path(words[0]).name.startswith("python")
        if is_module or (Path(word).name == "ioprof" and (position == 0 or is_script)):
            commands = [after for after in words[position + 1 :] if not after.startswith("-")]
            return " ".join(words) if commands and commands[0] in _LOADING else None
    return None


def _lineage(proc: Path, pid: int) -> Iterator[int]:
    seen: set[int] = set()
    while pid > 0 and pid not in seen:
        seen.add(pid)
        yield pid
        pid = _parent(proc, pid)


def _parent(proc: Path, pid: int) -> int:
    stat = _content(proc / str(pid) / "stat")
    return int(stat[stat.rindex(b")") + 2 :].split()[1]) if b")" in stat else 0


def _process_ids(proc: Path) -> list[int]:
    return [int(entry.name) for entry in proc.iterdir() if entry.name.isdigit()] if proc.is_dir() else []


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it ended, or belongs to another user
        return b""
