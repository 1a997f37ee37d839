"""What is wrong with a shard whose bytes could be read."""

from __future__ import annotations


class ShardError(Exception):
    """The rest of a shard makes no sense."""

    def __init__(self, code: int, message: str) -> None:
        """Say why.

        Args:
            code: error code of `ioprof.trace.kinds`, under which it is counted.
            message: what was found and where.
        """
        super().__init__(message)
        self.code = code
