"""Asks, before reads, what of them the page cache holds; as often as a small share of the worker's time allows.

Asking costs half a microsecond in the compiled loop over files, two elsewhere; a small file out of a warm page cache
takes three or four. So whole batches are
asked about, or not at all: all of them where that costs at most `BUDGET` of the worker's time, which is nearly always
so where a device is waited for; else one in N, N a power of two that follows what asking and batches were seen to cost.
Which batches those are depends on their number, as in `ioprof.trace.sampling`, and on the worker's own N: those
of a larger N are among those of a smaller one. Each batch is also counted N times, for an estimate in which those asked
about stand for those that were not.

What asking takes is no part of any operation: an object's opening begins that much later in the trace.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from ioprof.host.residency import METHODS, PAGE_BYTES, CacheStat, Method, NoWaitRead, Residency, first_answer
from ioprof.store.page_counts import PageCounts, count_pages
from ioprof.trace.hits import ALL_CACHED, SOME_MISSING, UNKNOWN
from ioprof.trace.opsfile import CACHE_METHODS
from ioprof.trace.recorder import Recorder

BUDGET = 0.0025
"""Share of the worker's time that asking may take."""
_OBJECTS, _RANGES = 0, 3
"""Where the reads, pages and cached pages of whole objects stand in the sums of a batch, and those of ranges."""
_NONE_ANSWERS = -1
UNKNOWN_BYTES = -1
_now_s = time.perf_counter


class CacheWitness:
    """What the page cache held of one worker's reads.

    What asking and batches cost is kept by the recorder's tally.

    Attributes:
        asking: whether the open batch is asked about; looked at before each read.
    """

    def __init__(self, recorder: Recorder, *, methods: Sequence[Method] = METHODS) -> None:
        """Ask nothing yet.

        Args:
            recorder: keeps what was counted.
            methods: ways to ask that may be tried.
        """
        self.asking = False
        self._recorder = recorder
        self._tally = recorder.tally
        self._methods = methods
        self._way: Residency | None = None
        self._method = 0
        self._found: list[int] = []
        self._took: list[float] = []
        """Of objects opened since `objects_read`: cached pages of each, -1 for unknown, and what asking took."""
        self._count_pages = count_pages()
        self._clear()

    def _clear(self) -> None:
        self._asks_s: list[float] = []
        self._counting_s = 0.0
        self._sums = [0] * 6
        self._hit_bytes = self._unanswered = 0

    @property
    def read_bytes(self) -> int:
        """What asking has read of files so far, in bytes: none, unless nothing but a read tells."""
        return self._way.read_bytes if isinstance(self._way, NoWaitRead) else 0

    @property
    def budget(self) -> float:
        """Share of the worker's time that asking may take; 0 never asks, infinity always."""
        return self._tally.ask_budget

    @budget.setter
    def budget(self, ratio: float) -> None:
        self._tally.ask_budget = ratio

    def begin(self, number: int) -> None:
        """Say which batch the coming reads are for."""
        self.asking = self._tally.asks(number)

    def end(self, made_ns: int) -> int:
        """Count the batch; return those of its bytes that were in the page cache, -1 where that is not known.

        Args:
            made_ns: time that making the batch took.
        """
        if not self.asking:
            self._tally.made_s += (made_ns / 1e9 - self._tally.made_s) / 4
            if self.budget > 0:
                self._recorder.note_unasked_batch()
            return UNKNOWN_BYTES
        return self._end_asked(made_ns)

    def _end_asked(self, made_ns: int) -> int:
        self.asking = False
        took_s, sums, unanswered, hit_bytes = self._cost_of_batch(), self._sums, self._unanswered, self._hit_bytes
        made_s = max(0.0, made_ns / 1e9 - took_s)
        is_first = not self._tally.made_s
        self._tally.made_s += (made_s - self._tally.made_s) / (1 if is_first else 4)
        self._tally.ask_cost_s += (took_s - self._tally.ask_cost_s) / (1 if is_first else 4)
        scaled = [self._tally.ask_every * sums[at] for at in (_OBJECTS + 1, _OBJECTS + 2, _RANGES + 1, _RANGES + 2)]
        self._recorder.note_cache(self._method, (1, 1, round(took_s * 1e9), unanswered, *sums, *scaled))
        self._clear()
        known = not unanswered and (sums[_OBJECTS] or sums[_RANGES])
        return hit_bytes if known else UNKNOWN_BYTES

    def _cost_of_batch(self) -> float:
        """Return what asking about the open batch took, in seconds.

        From the median: one that the scheduler interrupted took long, but so would have what came in its place.
        """
        asks_s = self._asks_s
        if not asks_s:
            return 0.0
        asking_s = sorted(asks_s)[len(asks_s) // 2] * len(asks_s)
        return asking_s + min(self._counting_s, asking_s)

    def opener(self, open_: Callable[[str, int], int]) -> Callable[[str, int], int]:
        """Return what opens files whose whole content will be read next, and asks about each."""

        def asking_open(path: str, flags: int) -> int:
            descriptor = open_(path, flags)
            start_s = _now_s()
            self._found.append(self._ask(descriptor, 0, 0))
            self._took.append(_now_s() - start_s)
            return descriptor

        return asking_open

    def lists(self) -> tuple[list[int] | None, list[float] | None] | None:
        """Return where a loop puts what it finds that asks by cachestat(2) itself: nowhere while nothing is asked.

        None: it cannot ask, and is to open files by `opener`.
        """
        if not self.asking:
            return None, None
        return (self._found, self._took) if isinstance(self._way, CacheStat) else None

    @property
    def asked(self) -> int:
        """How many objects were asked about since `objects_read`."""
        return len(self._took)

    def seconds(self, asked: int) -> list[float]:
        """Return what asking took for each object, without the first ``asked`` of them."""
        return self._took[asked:]

    def object_failed(self) -> None:
        """Forget the object opened last, which could not be read."""
        self._found.pop()
        self._took.pop()

    def objects_read(self, sizes_bytes: Sequence[int]) -> Sequence[int]:
        """Count the objects of these sizes, read since the last call; return what to record as sizes."""
        start_s = _now_s()
        # What broke the reading off may have left an answer behind whose object was not read.
        took, found = self._took, self._found[: len(sizes_bytes)]
        counts, sums = PageCounts(*self._count_pages(sizes_bytes, found, PAGE_BYTES)), self._sums
        sums[_OBJECTS] += counts.counted
        sums[_OBJECTS + 1] += counts.pages
        sums[_OBJECTS + 2] += counts.cached_pages
        self._hit_bytes += counts.hit_bytes
        self._unanswered += counts.unanswered
        self._asks_s += took
        del took[:], self._found[:]
        self._counting_s += _now_s() - start_s
        return counts.words

    def range(self, descriptor: int, offset: int, size_bytes: int) -> int:
        """Ask about a part of a file that will be read next; return what `ioprof.trace.hits` calls it."""
        if not size_bytes:
            return UNKNOWN
        start_s = _now_s()
        pages = (offset + size_bytes - 1) // PAGE_BYTES - offset // PAGE_BYTES + 1
        hit = self._count(_RANGES, size_bytes, pages, self._ask(descriptor, offset, size_bytes))
        self._asks_s.append(_now_s() - start_s)
        return hit

    def direct(self, size_bytes: int) -> int:
        """Count a read around the page cache: nothing is served from there, and nobody need be asked."""
        return self._count(_OBJECTS, size_bytes, -(-size_bytes // PAGE_BYTES), 0)

    def _ask(self, descriptor: int, offset: int, size_bytes: int) -> int:
        if self._way is not None:
            return self._way.pages(descriptor, offset, size_bytes)
        answer = first_answer(descriptor, offset, size_bytes, methods=self._methods)
        if answer is None:
            self._method, self._tally.is_answered = _NONE_ANSWERS, 0
            return -1
        self._way, found = answer
        self._method = CACHE_METHODS.index(self._way.method)
        return found

    def _count(self, kind: int, size_bytes: int, pages: int, cached: int) -> int:
        if cached < 0:
            self._unanswered += 1
            return UNKNOWN
        sums = self._sums
        sums[kind] += 1
        sums[kind + 1] += pages
        if cached >= pages:
            sums[kind + 2] += pages
            self._hit_bytes += size_bytes
            return ALL_CACHED
        sums[kind + 2] += cached
        self._hit_bytes += size_bytes * cached // pages
        return SOME_MISSING
