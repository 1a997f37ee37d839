"""Which property of a store a limit is one of: latency and operations, bandwidth, or metadata."""

from __future__ import annotations

from typing import Literal

from ioprof.trace.probe_record import LevelRecord, ProbeRecord
from ioprof.units import format_bytes, format_count

StoreBound = Literal["storage-latency", "storage-bandwidth", "metadata"]
MAIN_SHARE = 0.5
"""What takes more than half dominates."""
GROWS_RATIO = 1.20
"""Twice the processes that bring as much more were waiting for answers, not for a store that was at its limit."""
LARGE_READ_BYTES = 256 << 10
"""Where no probe tried shorter reads, reads of this size and more are taken to be held by bandwidth: at 1 GB/s, so much
takes a quarter of a millisecond, about what a request to a networked store takes before its first byte."""


def store_bound(*, metadata_share: float, bytes_share: float | None, is_growing: bool, read_bytes: float) -> StoreBound:
    """Return which property of the store it is that holds a run.

    Args:
        metadata_share: share of the time in storage operations that moved no data.
        bytes_share: share of what a read takes at the store's limit that goes with its bytes; None: not tried.
        is_growing: whether more processes got more from the store, so that the wait for each answer is what holds.
        read_bytes: mean size of a read; only asked where nothing else tells.
    """
    if metadata_share > MAIN_SHARE:
        return "metadata"
    if bytes_share is not None:
        return "storage-bandwidth" if bytes_share > MAIN_SHARE else "storage-latency"
    return "storage-bandwidth" if read_bytes >= LARGE_READ_BYTES and not is_growing else "storage-latency"


def bytes_share_of(probe: ProbeRecord | None) -> float | None:
    """Return which share of what a read takes at the store's limit goes with its bytes; None: not known."""
    return None if probe is None or probe.short_reads is None else probe.short_reads.bytes_share


def is_growing(levels: list[LevelRecord]) -> bool:
    """Tell whether the store gave the most processes that were tried more than it gave half of them."""
    read = sorted((level for level in levels if level.samples_per_s > 0), key=lambda level: level.processes)
    fewer = [level for level in read if level.processes * 2 <= read[-1].processes]
    return bool(fewer) and read[-1].samples_per_s > GROWS_RATIO * fewer[-1].samples_per_s


def shorter_told(probe: ProbeRecord | None) -> str | None:
    """Return what shorter reads have shown, or why nothing tells bytes from operations; None: there was no limit."""
    short = None if probe is None else probe.short_reads
    if short is None:
        return None
    if short.bytes_share is None:
        return f"whether bytes or operations hold it there is not known ({short.reason})"
    tried = (
        f"in reads of {format_bytes(short.read_bytes)} it gives {_per_s(short.reads_per_s)} of them a second where it "
        f"gives {_per_s(short.full_reads_per_s)} of {format_bytes(short.full_read_bytes)}"
    )
    held = (
        "bytes hold it there, not operations"
        if short.bytes_share > MAIN_SHARE
        else "operations hold it there, not bytes"
    )
    return f"{tried}: {held}"


def _per_s(rate: float) -> str:
    return format_count(round(rate) if rate >= 100 else round(rate, 1))
