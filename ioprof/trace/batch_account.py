"""What the kernel says of one batch, from three readings: where it begins, where it is fetched, where it is joined."""

from __future__ import annotations

from typing import NamedTuple

from ioprof.host.thread_accounting import ThreadReading


class BatchAccount(NamedTuple):
    """Kernel accounting of one batch; -1: not known. Durations without a stage are of the whole batch."""

    on_cpu_ns: int
    run_queue_ns: int
    fetch_on_cpu_ns: int
    fetch_run_queue_ns: int
    minor_faults: int
    major_faults: int
    voluntary_switches: int
    involuntary_switches: int
    block_io_delay_ns: int
    """Of the fetch: what comes after it reads nothing."""


UNACCOUNTED = BatchAccount(-1, -1, -1, -1, -1, -1, -1, -1, -1)


def account_of(begun: ThreadReading, fetched: ThreadReading, joined: ThreadReading) -> BatchAccount:
    """Return what a batch took, between its readings."""
    return BatchAccount(
        joined.on_cpu_ns - begun.on_cpu_ns,
        _since(begun.run_queue_ns, joined.run_queue_ns),
        fetched.on_cpu_ns - begun.on_cpu_ns,
        _since(begun.run_queue_ns, fetched.run_queue_ns),
        joined.minor_faults - begun.minor_faults,
        joined.major_faults - begun.major_faults,
        joined.voluntary_switches - begun.voluntary_switches,
        joined.involuntary_switches - begun.involuntary_switches,
        _since(begun.block_io_ns, fetched.block_io_ns),
    )


def _since(earlier_ns: int, later_ns: int) -> int:
    return later_ns - earlier_ns if earlier_ns >= 0 and later_ns >= 0 else -1
