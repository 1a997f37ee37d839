"""Reads that went past the taps: whether they were so many that the figures of single operations say nothing."""

from __future__ import annotations

from ioprof.analysis.summary import Coverage
from ioprof.analysis.wording import percent
from ioprof.trace.run_record import KernelIo, RunRecord
from ioprof.units import format_bytes

MIN_COVERAGE = 0.95
"""Share of the bytes that the taps must have seen for the latencies of operations to be given."""


def latent_coverage(run: RunRecord, seen: Coverage, reason: str | None) -> tuple[Coverage, str | None]:
    """Return a coverage without its ratio where much may have been read that is in neither count.

    What is read through a mapping is not: so many bytes at most as it is long. Nor is what came through sockets, though
    its calls were timed. Where these are few beside what was read, the ratio stands.

    Args:
        run: the record, with the mappings of each worker, and what it fetched from object stores.
        seen: both counts.
        reason: why there is no ratio already.
    """
    objects_bytes = _objects_bytes(run)
    if objects_bytes > (1 - MIN_COVERAGE) * (objects_bytes + (seen.kernel_bytes or 0)):
        return _without_ratio(seen), _object_words(objects_bytes)
    known = 1.0 if seen.ratio is None else min(1.0, seen.ratio)
    if not _latent(run) or _least_ratio(run, seen) >= MIN_COVERAGE * known:
        return seen, reason
    return _without_ratio(seen), _mapped_words(run)


def latency_unknown_reason(run: RunRecord, seen: Coverage) -> str | None:
    """Return why the latencies of operations are not available, and what is known instead; None: they are."""
    if seen.ratio is not None and seen.ratio < MIN_COVERAGE:
        of_bytes = format_bytes(seen.kernel_bytes or 0)
        return f"native or mapped reads: the taps saw {percent(seen.ratio)} of the {of_bytes} read; {_instead(run)}"
    if seen.tapped_bytes is None or _least_ratio(run, seen) >= MIN_COVERAGE:
        return None
    if _latent(run):
        return f"native or mapped reads: {_mapped_words(run)}; {_instead(run)}"
    if _objects_bytes(run):
        seen_bytes, read_bytes = format_bytes(seen.tapped_bytes), format_bytes(seen.kernel_bytes or 0)
        return f"native or mapped reads: the taps saw {seen_bytes} of {read_bytes} read from files; {_instead(run)}"
    return None


def uncounted_reason(run: RunRecord) -> str | None:
    """Return why nobody knows what share of the reads the page cache served; None: by what is counted it is known."""
    tapped_bytes = sum(io.tapped_bytes for io in run.kernel_io or [])
    latent_bytes, objects_bytes = sum(io.latent_bytes for io in _latent(run)), _objects_bytes(run)
    if tapped_bytes >= MIN_COVERAGE * (tapped_bytes + latent_bytes + objects_bytes):
        return None
    return _mapped_words(run) if latent_bytes else _object_words(objects_bytes)


def _without_ratio(seen: Coverage) -> Coverage:
    return Coverage(tapped_bytes=seen.tapped_bytes, kernel_bytes=seen.kernel_bytes, ratio=None)


def _latent(run: RunRecord) -> list[KernelIo]:
    return [io for io in run.kernel_io or [] if io.latent_bytes]


def _objects_bytes(run: RunRecord) -> int:
    return sum(io.object_bytes for io in run.kernel_io or [])


def _least_ratio(run: RunRecord, seen: Coverage) -> float:
    """Return the coverage if every byte of every mapping had been read once, what came through sockets included."""
    latent_bytes, objects_bytes = sum(io.latent_bytes for io in _latent(run)), _objects_bytes(run)
    most_bytes = (seen.kernel_bytes or 0) + latent_bytes + objects_bytes
    if not most_bytes or not (latent_bytes or objects_bytes):
        return 1.0
    return ((seen.tapped_bytes or 0) + objects_bytes) / most_bytes


def _object_words(objects_bytes: int) -> str:
    return (
        f"{format_bytes(objects_bytes)} came through sockets, by calls that were timed; "
        "the kernel's count of reads does not hold them"
    )


def _mapped_words(run: RunRecord) -> str:
    latent = _latent(run)
    files, size_bytes = max((io.latent_files, io.latent_bytes) for io in latent)
    noun = "file" if files == 1 else "files"
    return f"{files:,} {noun} of {format_bytes(size_bytes)} mapped, and what is read through a mapping nobody counts"


def _instead(run: RunRecord) -> str:
    """Say what the kernel knows all the same."""
    workers = run.kernel_io or []
    told = f"{format_bytes(sum(io.read_bytes for io in workers))} were fetched from the device or server"
    faults = [io.major_faults for io in workers if io.major_faults is not None]
    return f"{told}, {sum(faults):,} major page faults" if faults else told
