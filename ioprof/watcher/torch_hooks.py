"""How a torch DataLoader is watched in the consumer, without a change to what its user sees.

torch has one place where a loader makes an iterator, and one where the iterator hands over a batch. Both are followed
on the one object: the iterator is made with the watched collate function and worker_init_fn, which the loader has only
meanwhile; and each batch is taken out of its envelope before anybody else sees it. What is called by torch and leads on
into the user's code is found through a property, so that no frame of ours stands around it.
"""

from __future__ import annotations

import functools
import operator
import weakref
from collections.abc import Callable, Iterator
from itertools import chain
from types import MethodType
from typing import Protocol, cast

from ioprof.watcher.passes import Pass
from ioprof.watcher.worker import BatchMaker, WatchedCollate, WatchedFetch, WatchedInit

_MAKE = "_get_iterator"
_NEXT = "_next_data"
_own_make, _own_next, _own_reset = map(operator.attrgetter, (_MAKE, _NEXT, "_reset"))


class Follower(Protocol):
    """What is told of a loader's iterations."""

    def begin_pass(self) -> tuple[Pass, BatchMaker] | None:
        """Open a pass, whose workers are about to be started; return what watches its batches where they are made.

        None: nothing is recorded any more.
        """
        ...

    def begin_again(self, begun: Pass) -> Pass:
        """Open another pass with the workers of one; return it."""
        ...

    def found(self, before: Pass | None) -> Pass | None:
        """Open a pass of workers that were started before; None: nothing is recorded any more.

        Args:
            before: a pass of theirs that was watched then; None: nobody watched.
        """
        ...

    def made(self, iterator: object) -> None:
        """An iterator stands, and its workers with it."""
        ...

    def asked(self, begun: Pass) -> None:
        """The consumer asks for the next batch."""
        ...

    def received(self, begun: Pass, envelope: object) -> object:
        """Return the batch that the consumer gets."""
        ...

    def ended(self, begun: Pass) -> None:
        """There was no further batch."""
        ...


def attach(loader: object, follower: Follower) -> Callable[[], None]:
    """Have all further iterations over a DataLoader followed; return what ends that.

    Iterators that were made meanwhile go on: they hand over batches as ever, and tell nobody. An iterator whose
    persistent workers are there already is followed too, of which only the consumer's side is seen.

    Raises:
        AttributeError: this torch makes its iterators in another way than those known.
    """
    _own_make(type(loader))
    attributes = vars(loader)
    before = attributes.get(_MAKE)
    attributes[_MAKE] = hook = _WatchedMake(loader, follower)
    there = attributes.get("_iterator")
    if there is not None and attributes.get("persistent_workers"):
        known = vars(there).get(_NEXT)
        begun = follower.found(known.begun if isinstance(known, _WatchedNext) else None)
        if begun is not None:
            _follow(there, begun, None, follower)

    held = weakref.ref(loader)  # not the loader itself: its workers end when the program lets go of it

    def detach() -> None:
        still = held()
        if still is None or vars(still).get(_MAKE) is not hook:
            return
        attributes = vars(still)
        del attributes[_MAKE]
        if before is not None:
            attributes[_MAKE] = before

    return detach


class _WatchedMake:
    """A loader's way to make an iterator; it can be pickled with the loader, and is then the plain one."""

    def __init__(self, loader: object, follower: Follower) -> None:
        self._loader = weakref.ref(loader)
        self._follower = follower

    def __call__(self) -> object:
        loader, follower = self._loader(), self._follower
        make, watched = _unwatched(loader), follower.begin_pass()
        if watched is None:
            return make()
        begun, maker = watched
        attributes = vars(loader)
        parts = {name: attributes[name] for name in ("collate_fn", "worker_init_fn")}
        in_consumer = not attributes["num_workers"]
        is_batched = attributes.get("batch_sampler") is not None
        attributes["collate_fn"] = WatchedCollate(parts["collate_fn"], maker, begun.told, is_batched=is_batched)
        if not in_consumer:
            attributes["worker_init_fn"] = WatchedInit(parts["worker_init_fn"], maker)
        try:
            iterator = make()
        finally:
            attributes.update(parts)
        _follow(iterator, begun, maker, follower)
        return iterator

    def __reduce__(self) -> tuple[Callable[[object], object], tuple[object]]:
        return _unwatched, (self._loader(),)


def _unwatched(loader: object) -> Callable[[], object]:
    return MethodType(_own_make(type(loader)), loader)


def _follow(iterator: object, begun: Pass, maker: BatchMaker | None, follower: Follower) -> None:
    """Follow an iterator from its first batch on."""
    attributes = vars(iterator)
    ask = _WatchedNext(iterator, begun, follower)
    attributes[_NEXT] = ask
    attributes["_reset"] = _WatchedReset(iterator, ask, follower)
    fetcher = attributes.get("_dataset_fetcher")
    if fetcher is not None and maker is not None:
        vars(fetcher)["fetch"] = WatchedFetch(fetcher, maker, begun.told)
    follower.made(iterator)


class _WatchedNext:
    """An iterator's way to the next batch."""

    def __init__(self, iterator: object, begun: Pass, follower: Follower) -> None:
        # Weak: torch ends the workers when the last one who holds the iterator lets go of it, not when a circle is
        # found.
        self._iterator = weakref.ref(iterator)
        self._follower = follower
        self.begun = begun

    @property
    def __call__(self) -> Callable[[], object]:
        """Return what torch then calls: it gets a batch and takes it out of its envelope, or notes that there is none.

        Put together of nothing but C: in a traceback of what the loader raises, no frame of ours is found.
        """
        begun, follower = self.begun, self._follower
        iterator = self._iterator()
        follower.asked(begun)
        one = map(operator.call, (MethodType(_own_next(type(iterator)), iterator),))
        batches = chain(one, _noted(follower, begun))
        return map(functools.partial(follower.received, begun), batches).__next__


def _noted(follower: Follower, begun: Pass) -> Iterator[object]:
    """Yield nothing, and tell that it came to that."""
    follower.ended(begun)
    yield from ()


class _WatchedReset:
    """A persistent iterator's way to begin another pass with the workers it has."""

    def __init__(self, iterator: object, ask: _WatchedNext, follower: Follower) -> None:
        self._iterator = weakref.ref(iterator)
        self._ask = ask
        self._follower = follower

    @property
    def __call__(self) -> Callable[..., object]:
        """Return what torch then calls, after a new pass was opened."""
        self._ask.begun = self._follower.begin_again(self._ask.begun)
        iterator = self._iterator()
        return MethodType(cast("Callable[..., object]", _own_reset(type(iterator))), iterator)
