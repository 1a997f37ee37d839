"""The page cache as a run wants it: emptied or filled before epochs, and what became of that."""

from __future__ import annotations

from collections.abc import Callable

from ioprof.runner.observer import Observer
from ioprof.runner.plan import RunPlan
from ioprof.store.base import Store
from ioprof.store.page_cache import CacheChange, drop_caches, evict, warm
from ioprof.trace.run_record import CacheRecord

_Change = Callable[[str, Callable[[int], str], int, Callable[[int], None]], CacheChange]


class CacheChanges:
    """Brings the page cache into the state that a run asks for, and adds up what was done."""

    def __init__(self, plan: RunPlan, store: Store, observer: Observer) -> None:
        """Change nothing yet.

        Args:
            plan: the parts of the run.
            store: root of its dataset.
            observer: told how it goes on.
        """
        self._plan = plan
        self._store = store
        self._observer = observer
        self._evictions = self._drops = 0
        self._evicted_objects = 0
        self._failed_objects = 0
        self._checked_pages: int | None = None
        self._resident_pages: int | None = None

    def before_first_epoch(self) -> None:
        """Empty or fill it, if that was asked for.

        Raises:
            StoreError: the kernel does not let its caches be dropped.
        """
        wanted = self._plan.spec.run.cache
        if wanted == "cold":
            self._evict()
        elif wanted == "warm":
            self._change("reading the dataset into the page cache", warm)

    def between_epochs(self) -> None:
        """Empty it again, if every epoch is to begin with a cold cache.

        Raises:
            StoreError: the kernel no longer lets its caches be dropped.
        """
        if self._plan.spec.run.cache == "cold":
            self._evict()

    def _evict(self) -> None:
        self._change("evicting the dataset from the page cache", evict)
        if self._plan.spec.run.drop_caches and self._plan.loader.reads_storage:
            # Last: looking at what the eviction left has opened every object.
            self._observer.phase("dropping this host's caches")
            drop_caches()
            self._drops += 1

    def _change(self, text: str, change: _Change) -> None:
        root, layout = self._store.local_root, self._plan.layout
        if root is None or not self._plan.loader.reads_storage:
            return
        self._observer.phase(text)
        done = change(root, layout.path, layout.count, lambda n: self._observer.progress(n, layout.count))
        self._evictions += self._plan.spec.run.cache == "cold"
        self._evicted_objects += done.objects - done.failed
        self._failed_objects += done.failed
        if done.checked_pages is not None and done.resident_pages is not None:
            self._checked_pages = (self._checked_pages or 0) + done.checked_pages
            self._resident_pages = (self._resident_pages or 0) + done.resident_pages

    def record(self) -> CacheRecord:
        """Return what was asked for and done so far."""
        return CacheRecord(
            requested=self._plan.spec.run.cache,
            evictions=self._evictions,
            drops=self._drops,
            evicted_objects=self._evicted_objects,
            failed_objects=self._failed_objects,
            checked_pages=self._checked_pages,
            resident_pages=self._resident_pages,
            note=None if self._store.local_root else "not a local path: this host's page cache is not used",
        )
