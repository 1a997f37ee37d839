"""Which flags decide how large a dataset is: what a refusal for its size tells the user to change."""

from __future__ import annotations

from ioprof.contract import PluginParams

SIZE_KEYS = (
    "scale", "files", "shards", "samples_per_shard", "samples_per_file", "file_size", "sample_size", "record_size",
)  # fmt: skip
"""Parameters of workloads, the one that scales all first."""


def size_flags(params: type[PluginParams], *, is_scaled: bool) -> str:
    """Return the flags that make the dataset of a workload smaller or larger, ``--scale`` first.

    Args:
        params: the workload's parameters.
        is_scaled: whether it is a configuration that ``--scale`` shrinks, though the workload has no such parameter.
    """
    found = [key for key in SIZE_KEYS if key in params.model_fields or (is_scaled and key == "scale")]
    return ", ".join(f"--{key.replace('_', '-')}" for key in found)
