"""One row of the batches table."""

from __future__ import annotations

from ioprof.contract import Batch


def batch_row(rank: int, epoch: int, batch: Batch, received_ns: int) -> tuple[int, ...]:
    """Return the row in the order of the table's columns; -1 where something is not known.

    Args:
        rank: whose batch it is.
        epoch: in which it was received.
        batch: its stamps.
        received_ns: when the consumer held it.
    """
    made_ns = batch.collate_end_ns - batch.fetch_start_ns
    known = batch.on_cpu_ns >= 0 and batch.run_queue_ns >= 0
    blocked_ns = max(0, made_ns - batch.on_cpu_ns - batch.run_queue_ns) if known else -1
    return (
        rank, epoch, batch.number, batch.worker, batch.dispatch_ns, batch.fetch_start_ns,
        batch.fetch_end_ns, batch.collate_end_ns, received_ns, batch.storage_ns, batch.prep_ns,
        batch.on_cpu_ns, batch.run_queue_ns, blocked_ns, batch.fetch_on_cpu_ns, batch.fetch_run_queue_ns,
        batch.minor_faults, batch.major_faults, batch.voluntary_switches, batch.involuntary_switches,
        batch.block_io_delay_ns, batch.samples, batch.size_bytes, batch.errors, batch.client_hit_bytes,
        batch.accounted_every,
    )  # fmt: skip
