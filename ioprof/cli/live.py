"""The live view: follows a run directory from its own process and draws on stderr until its input closes.

Reads only what the run writes anyway, so that watching costs the measured processes nothing but CPU time on another
core. Where stderr is no terminal it prints a plain line every few seconds.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ioprof.cli.console import talk
from ioprof.units import format_count, format_duration, format_rate_bytes

if TYPE_CHECKING:
    from ioprof.trace.follow import Snapshot

_REFRESH_S = 0.5
_PLAIN_LINE_S = 5.0
_PLAIN_START_S = 2.0
"""The first line's rates are those since then."""


def view(snapshot: Snapshot) -> Table:
    """Return the screen for one moment."""
    table = Table.grid(padding=(0, 2))
    table.add_row(_headline(snapshot))
    if snapshot.utilization_now is not None:
        table.add_row(_gauge(snapshot.utilization_now, snapshot.utilization))
    table.add_row(Text(_rates(snapshot)))
    for kind in snapshot.kinds:
        table.add_row(
            Text(f"  {kind.label:<7}{format_count(kind.per_s):>9}/s   p50 {format_duration(kind.p50_ns):>8}"
                 f"   p99 {format_duration(kind.p99_ns):>8}", style="dim")
        )  # fmt: skip
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
    filled = round(now * 30)
    style = "green" if now >= 0.9 else "yellow" if now >= 0.5 else "red"
    text = Text("accelerator ")
    text.append("█" * filled, style=style).append("░" * (30 - filled), style="dim")
    text.append(f" {now:6.1%} busy now")
    return text.append(f" · {overall:.1%} overall", style="dim") if overall is not None else text


def _rates(snapshot: Snapshot) -> str:
    return (
        f"{format_count(snapshot.samples_per_s)} samples/s · {format_count(snapshot.iops)} IOPS · "
        f"{format_rate_bytes(snapshot.bytes_per_s)}"
    )


def plain(snapshot: Snapshot) -> str:
    """Return one line for logs."""
    busy = f" · accelerator busy {snapshot.utilization_now:.1%}" if snapshot.utilization_now is not None else ""
    return f"step {snapshot.steps:,}{_ahead(snapshot)} · {_rates(snapshot)}{busy}"


def _closed(timeout_s: float) -> bool:
    return bool(select.select([sys.stdin], [], [], timeout_s)[0])


def _print_lines(directory: Path, console: Console) -> None:
    # A short run is over before its first line: what counts is loaded later than its first steps need the CPUs.
    if _closed(_PLAIN_START_S):
        return
    from ioprof.trace.follow import Follower

    follower = Follower(directory)
    timeout_s = _PLAIN_LINE_S - _PLAIN_START_S
    while not _closed(timeout_s):
        if (snapshot := follower.snapshot()) is not None:
            console.print(plain(snapshot), soft_wrap=True)
        timeout_s = _PLAIN_LINE_S


def main(directory: Path) -> None:
    """Draw until standard input closes."""
    console = talk()
    if not console.is_terminal:
        _print_lines(directory, console)
        return
    from ioprof.trace.follow import Follower

    follower = Follower(directory)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while not _closed(_REFRESH_S):
            if (snapshot := follower.snapshot()) is not None:
                live.update(view(snapshot), refresh=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
