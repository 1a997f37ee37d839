"""The names of checkpoint files: enough to tell ours from others', without looking inside."""

from __future__ import annotations

import re

LAYOUT = "checkpoints"
"""Value of ``layout`` in the identity of a marked directory that holds checkpoints."""
PARTIAL = ".partial"
"""End of a name whose content is not whole yet."""
_NAME = re.compile(r"step-(\d{9,})-(\d{5})-of-(\d{5})\.pt(?:\.partial)?")


def shard_name(step: int, shard: int, shards: int) -> str:
    """Return the name of one shard of the state after ``step``."""
    return f"step-{step:09d}-{shard:05d}-of-{shards:05d}.pt"


def is_ours(name: str) -> bool:
    """Tell whether a name is one that a save gives, finished or not."""
    return _NAME.fullmatch(name) is not None
