"""Checkpoints in the terminal's report: what saving and restoring took, and what it cost."""

from __future__ import annotations

from rich.text import Text

from ioprof.analysis.summary import CheckpointStats, Spread
from ioprof.analysis.wording import percent
from ioprof.report.layout import fact
from ioprof.units import format_bytes, format_duration, format_rate_bytes


def checkpoint_lines(stats: CheckpointStats | None, width: int) -> list[Text]:
    """Return a line for the saves, one for what they cost, and one for the restore; nothing where none were asked."""
    if stats is None or stats.saves + stats.failed == 0:
        return []
    lines = fact("checkpoints", _saves(stats), width)
    if stats.blocked_per_save_s is not None:
        lines += fact("", _cost(stats, stats.blocked_per_save_s), width)
    if stats.restore_bytes_per_s is not None and stats.restore_s is not None:
        took = format_duration(stats.restore_s.mean * 1e9)
        told = f"{format_rate_bytes(stats.restore_bytes_per_s)}: read back in {took}"
        # Objects of a remote store are not in this host's page cache, and nothing was evicted.
        evicted = ", evicted from the page cache before" if "read" in stats.operations else ""
        lines += fact("restore", told + evicted, width)
    return lines


def _saves(stats: CheckpointStats) -> str:
    failed = f"{stats.failed} failed or dropped" if stats.failed else ""
    if stats.save_s is None or stats.save_bytes_per_s is None or stats.bytes_per_save is None:
        return f"none was saved whole; {failed}"
    files = f" in {stats.shards} files" if stats.shards > 1 else ""
    synced = "" if stats.fsync else ", not synced"
    count = "1 save" if stats.saves == 1 else f"{stats.saves:,} saves"
    told = (
        f"{count} of {format_bytes(stats.bytes_per_save)}{files} ({stats.mode}{synced}): "
        f"{format_rate_bytes(stats.save_bytes_per_s)}, {_each(stats.save_s)}"
    )
    return f"{told}; {failed}" if failed else told


def _cost(stats: CheckpointStats, stood: Spread) -> str:
    told = f"the step loop stood still {_each(stood)}"
    if stats.share_of_wall is not None:
        told += f"; {percent(stats.share_of_wall)} of the time"
    if stats.waited:
        waited = format_duration(stats.waited_s * 1e9)
        told += f"; {stats.waited:,} came before the one before was done, and waited {waited} in all"
    return told


def _each(spread: Spread) -> str:
    mean, low, high = (format_duration(seconds * 1e9) for seconds in (spread.mean, spread.min, spread.max))
    return f"{mean} each" if low == high else f"{mean} each ({low} to {high})"
