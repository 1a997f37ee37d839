"""What Grain counts of its own stages (execution tracking), taken without the thread that it would leave behind.

Grain sums a stage's times in a thread of each epoch's own, every five seconds, and ends it two minutes after the last
sample. Here the consumer does that thread's work now and then, and once more when the epoch has ended. There is no
public way to either; tests of the extra hold it against the version that is pinned.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Mapping

import grain
from grain._src.python.dataset.dataset import get_execution_summary

FOLDED_EVERY = 64
"""Batches after which the times are summed: until then each sample's are kept, some 100 bytes."""


class StageTimes:
    """Elements and seconds of each stage, over all epochs."""

    def __init__(self) -> None:
        self._found = Counter[str]()
        self._running: grain.DatasetIterator | None = None
        self._batches = 0

    def tracked(self, dataset: grain.IterDataset) -> grain.IterDataset:
        """Return the dataset with its stages timed."""
        mode = grain.experimental.ExecutionTrackingMode.STAGE_TIMING
        options = grain.experimental.DatasetOptions(execution_tracking_mode=mode)
        return grain.experimental.WithOptionsIterDataset(dataset, options)

    def follow(self, running: grain.DatasetIterator) -> None:
        """Count an epoch that begins."""
        self._running = running
        # Where one is named already, none is started.
        running._stats._reporting_thread = threading.current_thread()

    def note_batch(self) -> None:
        """Note that a batch has come."""
        self._batches += 1
        if self._running is not None and self._batches % FOLDED_EVERY == 0:
            self._running._stats.report()

    def end_epoch(self) -> None:
        """Take what the epoch counted; no thread works for it any more."""
        running, self._running = self._running, None
        if running is None:
            return
        running._stats.report()
        for node in get_execution_summary(running).nodes.values():
            stage = f"grain.{node.name.partition('(')[0]}"
            self._found[f"{stage}.elements"] += node.num_produced_elements
            self._found[f"{stage}.stage_s"] += node.total_processing_time_ns / 1e9

    def totals(self) -> Mapping[str, float]:
        """Return elements and seconds by stage; those of threads that work side by side add up."""
        return self._found
