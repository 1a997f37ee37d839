"""What a loader declares of itself: who reads, who works, what it can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

ReadsWith = Literal["python", "fsspec", "native", "mmap", "nothing"]
"""Who does the I/O. python: Python code, whose every operation the taps see. fsspec: a client of fsspec's. native: a
library's own code, of which Python sees nothing. mmap: the kernel, when a mapped page is touched. nothing: no I/O."""
WorkersAre = Literal["none", "thread", "process", "engine"]
"""What makes batches. none: the consumer's own thread. engine: threads or processes that a library keeps for itself."""
StartMethod = Literal["fork", "spawn", "forkserver"]
Ordered = Literal["always", "by choice", "never"]
"""Whether batches come in the order in which they were asked for."""

START_METHODS: tuple[StartMethod, ...] = get_args(StartMethod)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a loader can do; its knobs are the fields of its `Params`."""

    reads_with: ReadsWith
    workers: tuple[WorkersAre, ...]
    """What it can make batches with, its default first."""
    fork_safe: bool = True
    """Whether workers may be forked; False: what it holds does not survive that, and `start_method` must say so."""
    start_methods: tuple[StartMethod, ...] = ()
    """Of its worker processes, its default first; empty: it starts none, or its library decides."""
    ordered: Ordered = "always"
    formats: frozenset[str] = frozenset()
    """Formats that it reads itself, by the words of `StoredSamples.format`; empty: samples come from the workload's own
    reader, so that it delivers whatever a workload of its `accepts` has."""

    def __str__(self) -> str:
        """Return it in a few words, for lists."""
        parts = [
            "I/O: " + self.reads_with,
            "workers: " + ", ".join(self.workers),
            {"always": "", "by choice": "order: by choice", "never": "unordered"}[self.ordered],
            "" if self.fork_safe else "not fork-safe",
            "formats: " + ", ".join(sorted(self.formats)) if self.formats else "",
        ]
        return "; ".join(part for part in parts if part)
