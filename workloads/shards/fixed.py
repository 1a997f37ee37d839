"""Formats whose samples must all have one size."""

from __future__ import annotations

from ioprof.workloads.shards.shape import ShardShape

from ioprof.errors import SpecError


def fixed_sample_bytes(shape: ShardShape, name: str) -> int:
    """Return the one size of all samples.

    Raises:
        SpecError: they differ, and the format ``name`` has no way to say so.
    """
    size_bytes = shape.fixed_sample_bytes
    if size_bytes is None:
        raise SpecError(
            f"format {name}: its samples have one size; use --sample-size 112KiB or the like, "
            "or --format tar or tfrecord for sizes that differ"
        )
    return size_bytes
