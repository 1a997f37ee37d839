"""What the accelerator waited for, as lines of the report: groups of causes, and in each what holds most first."""

from __future__ import annotations

from rich.text import Text

from ioprof.analysis.idle_causes import GROUPS, IdleByCause
from ioprof.analysis.summary import Summary
from ioprof.analysis.wording import percent, whole_percent
from ioprof.report.layout import wrapped
from ioprof.units import format_duration

SHOWN_SHARE = 0.0005
"""Share of all time from which on a cause is shown."""
TELLING_SHARE = 0.005
"""And from which on it is told how it was spent."""
CAUSES = {
    "list": "listing names",
    "stat": "asking for attributes",
    "open": "opening",
    "read": "reading",
    "close": "closing",
    "get": "getting objects",
    "other_storage": "other storage operations",
    "decode": "decoding on the CPU",
    "augment": "augmenting on the CPU",
    "dataset": "the dataset's own code",
    "collate": "joining samples into batches",
    "loader": "the loader's own code in the workers",
    "ipc": "batches on their way to the consumer",
    "pin": "copying batches into page-locked memory",
    "transfer": "copy to the accelerator",
    "prefetch_limit": "workers not asked for more",
    "in_order": "later batches were ready and had to wait",
    "start_up": "workers coming up, or the loader closing down",
    "step_sync": "waiting for other ranks",
    "checkpoint": "the step loop stood still for a save",
    "host_late": "the emulated step was over, and no CPU was free to go on",
    "unexplained": "matches no stage",
}
"""What each cause is, in a few words."""
_GROUPS = {
    "storage": "inside storage operations",
    "prep": "preparing batches",
    "delivery": "between workers and consumer",
    "rules": "by the loader's rules",
}


def cause_lines(summary: Summary, causes: IdleByCause, total_s: float, width: int) -> list[Text]:
    """Return a line for each cause that holds a share worth showing, and for what is unexplained in any case.

    Args:
        summary: the run.
        causes: its idle time by cause.
        total_s: all time of the measured window, of which shares are told.
        width: columns.
    """
    lines: list[Text] = []
    for group, members in sorted(GROUPS.items(), key=lambda item: (item[0] == "unexplained", -causes.of(item[0]))):
        shares = {cause: (getattr(causes, cause) or 0.0) / total_s for cause in members}
        shown = [cause for cause in shares if shares[cause] >= SHOWN_SHARE or cause == "unexplained"]
        if len(shown) > 1:
            lines += _line(group, causes.of(group) / total_s, _GROUPS[group], width, indent=4)
        for cause in sorted(shown, key=lambda name: -shares[name]):
            words = _words(summary, cause, shares[cause])
            lines += _line(cause, shares[cause], words, width, indent=6 if len(shown) > 1 else 4)
    return lines


def _line(name: str, share: float, words: str, width: int, *, indent: int) -> list[Text]:
    head = f"{' ' * indent}{name.replace('_', ' '):<{20 - indent}}{percent(share):>7}   "
    return list(map(Text, wrapped(words, width, first=head, rest=" " * len(head))))


def _words(summary: Summary, cause: str, share: float) -> str:
    told = [CAUSES[cause]]
    stats = summary.operations.get(cause)
    if stats is not None and stats.latency_ns is not None and share >= TELLING_SHARE:
        told[0] += f", {format_duration(stats.latency_ns.mean)} each"
        if summary.operations_phase == "steady" and summary.steps:
            told[0] += f", {stats.count / summary.steps:,.3g} per batch"
    spent = (summary.idle_by_cause_spent or {}).get(cause)
    if spent is not None and share >= TELLING_SHARE:
        parts = {"on a CPU": spent.on_cpu_s, "waiting for a CPU": spent.run_queue_s, "blocked": spent.blocked_s}
        whole_s, most = sum(parts.values()), max(parts, key=lambda name: parts[name])
        if whole_s > 0:
            told.append(f"{whole_percent(parts[most] / whole_s)} of it {most}")
    return "; ".join(told)
