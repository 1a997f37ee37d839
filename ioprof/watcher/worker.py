"""What goes with a watched DataLoader to where its batches are made: stamps, kernel accounting, an envelope.

Nothing here may change what the user sees. The dataset stays the user's own, in `get_worker_info` too: it is the fetch
that is stamped, by a property that is through before the user's code begins, so that no frame of ours stands in a
traceback of the dataset. Whatever fails on our side ends the watching of that process, and nothing else.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import itertools
import multiprocessing.util
import operator
import os
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MethodType
from typing import Protocol

from ioprof.contract import WorkerJob, samples_in
from ioprof.trace.batch_trace import BatchStamps, BatchTrace
from ioprof.watcher.guard import Guard
from ioprof.watcher.seen import SeenReads

SEALED = b"ioprof:1:"
"""How the second part of an envelope begins; stamps follow, or nothing where there are none."""
GAVE_UP = b"ioprof:!:"
"""The same where watching failed; why follows."""
IN_CONSUMER = -1
"""Worker number of the consumer's own process."""


class Told(Protocol):
    """Two integers in memory that consumer and workers share: the first batch number of the pass, and its epoch."""

    def __getitem__(self, word: int) -> int: ...

    def __setitem__(self, word: int, value: int) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MakerJob:
    """What a process needs to watch the batches that it makes; picklable while a worker is being started."""

    job: WorkerJob
    workers: int
    """Processes that make batches; worker w of W makes the batches first + w, first + w + W, ... of a pass."""
    owner_pid: int
    """The consumer's process."""


class BatchMaker:
    """Watches one loader's batches in one process that makes them; does nothing before `open`, and after a failure."""

    def __init__(self, job: MakerJob) -> None:
        self._job = job
        self._trace: BatchTrace | None = None
        self._failure: str | None = None
        self._seen: SeenReads | None = None
        self._guard = Guard(self._give_up)
        self._passes = _Passes()
        self._is_begun = self._is_fetched = False

    def open(self, worker: int) -> None:
        """Begin watching in this process."""
        with self._guard:
            seen = SeenReads(in_consumer=worker == IN_CONSUMER)
            self._trace = BatchTrace(self._job.job, worker, io=seen)
            self._seen = seen
            seen.begin(self._trace.recorder)
            if os.getpid() != self._job.owner_pid:
                multiprocessing.util.Finalize(None, self.close, exitpriority=1)

    def begin(self, fetcher: object, told: Told) -> None:
        """A batch is asked of a fetcher.

        Args:
            fetcher: each pass has its own.
            told: of its pass; read when it is seen first.
        """
        trace = self._trace
        if trace is None:
            return
        with self._guard:
            epoch, number = self._passes.next_batch(fetcher, told, max(0, trace.worker), self._job.workers)
            self._is_begun, self._is_fetched = True, False
            if self._seen is not None:
                self._seen.batch_begins()
            trace.begin(epoch, number)

    def fetched(self) -> None:
        """All samples of the batch are there."""
        if self._trace is None or not self._is_begun:
            return
        with self._guard:
            self._trace.fetched()
            self._is_fetched = True

    def sealed(self, batch: object, samples: int | None) -> tuple[object, bytes]:
        """Return a finished batch in its envelope: a plain tuple, which torch sends and pins part by part.

        Args:
            batch: what the user's collate function made.
            samples: how many samples it was made of; None: its shape tells.
        """
        trace = self._trace
        if trace is not None and self._is_fetched:
            self._is_begun = self._is_fetched = False
            with self._guard:
                if self._seen is not None:
                    self._seen.batch_made(trace.recorder)
                stamps = trace.end(samples_in(batch) if samples is None else samples)
                # Nobody sees what is decoding, and what is something else, of the rest of the dataset's time.
                return batch, SEALED + stamps._replace(prep_ns=-1).packed()
        why, self._failure = self._failure, None
        return batch, SEALED if why is None else GAVE_UP + why.encode()

    def _give_up(self, error: Exception) -> None:
        trace, self._trace = self._trace, None
        self._failure = f"{type(error).__name__}: {error}"
        if trace is not None:
            _closed_quietly(trace, self._seen)

    def leave(self) -> None:
        """This process is a copy of the one that watches: touch nothing of it."""
        self._trace = None

    def close(self) -> None:
        """End watching in this process."""
        trace, self._trace = self._trace, None
        if trace is not None:
            _closed_quietly(trace, self._seen)


class _Passes:
    """Which batch of which epoch comes next of each fetcher that torch still holds; nothing where it is pickled."""

    def __init__(self) -> None:
        self._epochs: weakref.WeakKeyDictionary[object, tuple[int, Iterator[int]]] = weakref.WeakKeyDictionary()

    def next_batch(self, fetcher: object, told: Told, worker: int, workers: int) -> tuple[int, int]:
        """Return epoch and number."""
        known = self._epochs.get(fetcher)
        if known is None:
            known = self._epochs[fetcher] = told[1], itertools.count(told[0] + worker, workers)
        return known[0], next(known[1])

    def __reduce__(self) -> tuple[type[_Passes], tuple[()]]:
        return _Passes, ()


def _closed_quietly(trace: BatchTrace, seen: SeenReads | None) -> None:
    # The user's process goes on, and what was recorded stands in the files.
    with contextlib.suppress(Exception):
        if seen is not None:
            seen.end()
        trace.close()


_own_fetch = operator.attrgetter("fetch")


def _nothing(*_: object) -> None:
    """Do nothing."""


def opened(envelope: object) -> tuple[object, BatchStamps | None, str | None]:
    """Return the batch in an envelope, its stamps, and why watching ended where it was made; unsealed things as are."""
    if not (type(envelope) is tuple and len(envelope) == 2 and type(envelope[1]) is bytes):
        return envelope, None, None
    batch, told = envelope
    if told.startswith(GAVE_UP):
        return batch, None, told[len(GAVE_UP) :].decode(errors="replace")
    if not told.startswith(SEALED):
        return envelope, None, None
    return batch, BatchStamps.unpacked(told[len(SEALED) :]) if len(told) > len(SEALED) else None, None


class WatchedCollate:
    """The user's collate function, with a stamp before and an envelope behind."""

    def __init__(self, collate: Callable[[object], object], maker: BatchMaker, told: Told, *, is_batched: bool) -> None:
        self._collate = collate
        self.maker = maker
        self.told = told
        self._is_batched = is_batched

    def __call__(self, data: object) -> tuple[object, bytes]:
        """Collate as the user does."""
        self.maker.fetched()
        samples = len(data) if self._is_batched and isinstance(data, list) else None
        return self.maker.sealed(self._collate(data), samples)


class WatchedInit:
    """The user's worker_init_fn; opens the trace before it is called."""

    def __init__(self, init: Callable[[int], object] | None, maker: BatchMaker) -> None:
        self._init = init
        self._maker = maker

    @property
    def __call__(self) -> Callable[[int], object]:
        """Return what torch then calls, without a frame of ours around it."""
        info = importlib.import_module("torch.utils.data").get_worker_info()
        hook_fetchers()
        self._maker.open(info.id)
        return self._init or _nothing


class WatchedFetch:
    """A fetcher's ``fetch`` in the consumer's own process."""

    def __init__(self, fetcher: object, maker: BatchMaker, told: Told) -> None:
        # Weak: a circle would keep the user's dataset iterator alive beyond its time.
        self._fetcher = weakref.ref(fetcher)
        self._maker = maker
        self._told = told

    @property
    def __call__(self) -> Callable[..., object]:
        """Return what torch then calls, without a frame of ours around it."""
        fetcher = self._fetcher()
        self._maker.begin(fetcher, self._told)
        return MethodType(_own_fetch(type(fetcher)), fetcher)


def hook_fetchers() -> None:
    """Have all fetchers of this worker process stamp the beginning of a watched fetch; others go as ever."""
    try:
        module = importlib.import_module("torch.utils.data._utils.fetch")
        for kind in (module._MapDatasetFetcher, module._IterableDatasetFetcher):
            if not isinstance(vars(kind)["fetch"], property):
                kind.fetch = property(functools.partial(_stamped_fetch, kind.fetch))
    except (ImportError, AttributeError, KeyError):
        # Another torch than those known: when a fetch began is not known, and all else is.
        return


def _stamped_fetch(fetch: Callable[..., object], fetcher: object) -> Callable[..., object]:
    collate = getattr(fetcher, "collate_fn", None)
    if isinstance(collate, WatchedCollate):
        collate.maker.begin(fetcher, collate.told)
    return MethodType(fetch, fetcher)
