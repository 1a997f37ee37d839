"""What the live view shows of a moment: one screen, or one line for logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from ioprof.units import format_count, format_duration, format_rate_bytes

if TYPE_CHECKING:
    from ioprof.trace.follow import KindRate, Snapshot

_BAR = 30
_LEAST_SHARE = 0.005
_WORKER_LINES = 4
_STYLES = {"running": "green", "blocked in I/O": "red", "stopped": "yellow"}


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLine:
    """One worker as it is shown."""

    worker: int
    state: str
    busy_ratio: float | None
    cpu_ratio: float | None
    """CPUs in use since the last look; above 1 where it has threads."""


def view(snapshot: Snapshot, workers: list[WorkerLine] | None = None) -> Table:
    """Return the screen for one moment."""
    table = Table.grid(padding=(0, 2))
    table.add_row(_headline(snapshot))
    if snapshot.utilization_now is not None:
        table.add_row(_gauge(snapshot.utilization_now, snapshot.utilization))
    for line in _idle(snapshot):
        table.add_row(line)
    table.add_row(Text(_rates(snapshot)))
    for kind in snapshot.kinds:
        table.add_row(_kind(kind))
    for line in _workers(workers or []):
        table.add_row(line)
    return table


def _headline(snapshot: Snapshot) -> Text:
    return Text(
        f"measuring {format_duration(snapshot.elapsed_ns)} · epoch {snapshot.epoch} · step {snapshot.steps:,}"
        f"{_ahead(snapshot)}",
        style="bold",
    )


def _ahead(snapshot: Snapshot) -> str:
    if snapshot.done_ratio is None or snapshot.left_ns is None:
        return ""
    # Down to whole percents and to tenths of a second: more would only flicker.
    left = format_duration(round(snapshot.left_ns, -8))
    ahead = f" · {left} left" if snapshot.left_ns >= 1e8 else ""
    return f" · {snapshot.done_ratio:.0%} done{ahead}".replace("%", " %")


def _gauge(now: float, overall: float | None) -> Text:
    filled = round(now * _BAR)
    style = "green" if now >= 0.9 else "yellow" if now >= 0.5 else "red"
    text = Text("accelerator ")
    text.append("█" * filled, style=style).append("░" * (_BAR - filled), style="dim")
    text.append(f" {_percent(now)} busy now")
    return text.append(f" · {_percent(overall)} overall", style="dim") if overall is not None else text


def _idle(snapshot: Snapshot) -> list[Text]:
    """Return a bar for each cause of the last seconds' idle time, on the gauge's scale."""
    shares = {cause: share for cause, share in snapshot.idle_by_cause.items() if share >= _LEAST_SHARE}
    if not shares:
        return []
    lines = [Text("  idle by cause, estimated (the report walks the critical path)", style="dim")]
    for cause, share in sorted(shares.items(), key=lambda one: -one[1]):
        filled = max(1, round(share * _BAR))
        bar = Text(f"  {cause:<10}").append("█" * filled, style="magenta").append(" " * (_BAR - filled))
        lines.append(bar.append(f" {_percent(share)}"))
    return lines


def _rates(snapshot: Snapshot) -> str:
    return (
        f"{format_count(snapshot.samples_per_s)} samples/s · {format_count(snapshot.iops)} IOPS · "
        f"{format_rate_bytes(snapshot.bytes_per_s)}"
    )


def _kind(kind: KindRate) -> Text:
    return Text(
        f"  {kind.label:<7}{format_count(kind.per_s):>9}/s   p50 {format_duration(kind.p50_ns):>8}"
        f"   p99 {format_duration(kind.p99_ns):>8}",
        style="dim",
    )


def _workers(workers: list[WorkerLine]) -> list[Text]:
    lines = []
    for one in workers[:_WORKER_LINES]:
        name = f"worker {one.worker}" if one.worker >= 0 else "consumer"
        busy = "" if one.busy_ratio is None else f"makes batches {_percent(one.busy_ratio)}"
        cpu = "" if one.cpu_ratio is None else f"CPU {_percent(one.cpu_ratio)}"
        line = Text(f"  {name:<10}").append(f"{busy:<23}{cpu:<13}", style="dim")
        lines.append(line.append(one.state, style=_STYLES.get(one.state, "dim")))
    if rest := workers[_WORKER_LINES:]:
        states = {state: sum(one.state == state for one in rest) for state in sorted({one.state for one in rest})}
        told = ", ".join(f"{count} {state}" for state, count in states.items())
        lines.append(Text(f"  and {len(rest)} more: {told}", style="dim"))
    return lines


def _percent(share: float) -> str:
    return f"{100 * share:5.1f} %"


def plain(snapshot: Snapshot) -> str:
    """Return one line for logs."""
    busy = f" · accelerator busy {snapshot.utilization_now:.1%}" if snapshot.utilization_now is not None else ""
    return f"step {snapshot.steps:,}{_ahead(snapshot)} · {_rates(snapshot)}{busy}"
