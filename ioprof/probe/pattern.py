"""What each level of a climb reads: the workload's samples in its order, evicted before where cold is wanted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ioprof.clock import now_ns
from ioprof.contract import Indices, Layout, ObjectSizes, SampleReader, SampleStream
from ioprof.probe.level import Reading
from ioprof.spec.model import CacheState
from ioprof.store.base import Store
from ioprof.store.page_cache import drop_caches, evict, warm

FIRST_EPOCH = 1_000_000
"""Epochs whose orders a probe reads: no run gets that far, so it does not read what the run has just read."""
CHEAP_EVICTION_NS = 1_000_000_000
"""Beyond this, the dataset is not evicted again while it has samples left that no level has read."""
COLD_SHARE = 0.01
"""At most this share of the pages may be left by an eviction that counts as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeJob:
    """What is probed."""

    source: SampleReader | SampleStream
    store: Store
    """Rooted at the dataset."""
    layout: Layout
    sizes: ObjectSizes
    order: Callable[[int], Indices] | None
    """Samples of an epoch in the order in which they are wanted; None for streams."""
    samples: int
    cache: CacheState
    drop_caches: bool = False
    """Whether an eviction drops names and inodes too; this needs root."""


@dataclass(slots=True)
class Pattern:
    """Hands out what the next level reads; says in ``caveats`` what could not be made as it was asked for."""

    job: ProbeJob
    caveats: list[str] = field(default_factory=list)
    spent_ns: int = 0
    """Time that evicting and warming took."""
    _epoch: int = FIRST_EPOCH - 1
    _order: Indices | None = None
    _taken: int = 0
    _eviction_ns: int | None = None

    def prepare(self, *, is_warm: bool = False) -> None:
        """Read everything once where a warm cache is wanted; ``is_warm``: it has been."""
        root, layout = self.job.store.local_root, self.job.layout
        if self.job.cache == "warm" and root is not None and not is_warm:
            start_ns = now_ns()
            warm(root, layout.path, layout.count, _nothing)
            self.spent_ns += now_ns() - start_ns
        if self.job.cache == "asis" and root is not None:
            self.tell(
                "the page cache was left as it is: what was read before, by a level or by the run itself, came "
                "out of this host's memory (column `cached`); use --cache cold for the store's own ceiling"
            )
        if self.job.cache == "cold" and root is None:
            self.tell("the store is not a local path: nothing was evicted, and what its own side caches is not known")

    def next(self) -> Reading:
        """Return what the next level reads."""
        job, cold = self.job, self.is_cold
        if self._must_begin():
            self._epoch += 1
            self._order = job.order(self._epoch) if job.order is not None else None
            self._taken = 0
            if cold:
                self._evict()
        order = self._order[self._taken :] if cold and self._order is not None else self._order
        return Reading(
            source=job.source,
            store=job.store,
            order=order,
            epoch=self._epoch,
            repeats=not cold,
            is_cached_locally=job.store.local_root is not None,
        )

    def other(self, source: SampleReader, order: Indices) -> Reading:
        """Return what a level reads that takes something else from the dataset; evicted before where cold is wanted."""
        if self.is_cold:
            self._evict()
        return Reading(
            source=source,
            store=self.job.store,
            order=order,
            epoch=self._epoch,
            repeats=not self.is_cold,
            is_cached_locally=self.job.store.local_root is not None,
        )

    @property
    def eviction_ns(self) -> int:
        """How long the last eviction took; 0 where there was none."""
        return self._eviction_ns or 0

    def took(self, places: int) -> None:
        """Note how many places of the order the last level has taken."""
        self._taken += places

    @property
    def is_cold(self) -> bool:
        """Whether each sample is read only once between two evictions."""
        return self.job.cache == "cold" and self.job.store.local_root is not None

    def _must_begin(self) -> bool:
        """Tell whether the next level needs another epoch, and in a cold probe an eviction."""
        if self._eviction_ns is None or self._order is None or self._eviction_ns <= CHEAP_EVICTION_NS:
            return True
        shares_objects = self.job.samples != self.job.layout.count
        return shares_objects or len(self._order) < 2 * self._taken

    def _evict(self) -> None:
        root, layout = self.job.store.local_root or "", self.job.layout
        start_ns = now_ns()
        done = evict(root, layout.path, layout.count, _nothing)
        if self.job.drop_caches:
            drop_caches()
        self._eviction_ns = now_ns() - start_ns
        self.spent_ns += self._eviction_ns
        if done.checked_pages and done.resident_pages and done.resident_pages > COLD_SHARE * done.checked_pages:
            self.tell(f"not cold: an eviction left {done.resident_pages:,} of {done.checked_pages:,} pages looked at")

    def tell(self, caveat: str) -> None:
        """Keep what a reader must know, once."""
        if caveat not in self.caveats:
            self.caveats.append(caveat)


def _nothing(done: int) -> None:
    """Show nothing: what is evicted here was evicted, and shown, before."""
