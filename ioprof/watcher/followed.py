"""One loader that is followed while a program iterates over it: written down, and never held up."""

from __future__ import annotations

import ctypes
import functools
import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from multiprocessing.process import BaseProcess
from typing import cast

from ioprof.clock import now_ns
from ioprof.contract import Batch, WorkerJob, samples_in
from ioprof.trace.batch_trace import BatchStamps
from ioprof.watcher.facts import LoaderFacts, measured_accelerator
from ioprof.watcher.guard import Guard
from ioprof.watcher.passes import Pass
from ioprof.watcher.recording import LoaderRecording
from ioprof.watcher.steps import StepLogs
from ioprof.watcher.timeline import HostTimeline, Timeline, timeline
from ioprof.watcher.worker import IN_CONSUMER, BatchMaker, MakerJob, Told, opened

_STARTED_BEFORE = (
    "The workers were started before the loader was watched: when and how they made their batches is not known. "
    "Watch a loader with persistent workers before it is iterated over for the first time."
)


class Loop:
    """Which pass the program's own loop is in: while it is in one, the steps of all others stand still."""

    def __init__(self) -> None:
        self.entered: Pass | None = None
        self.logs: StepLogs | None = None

    def enter(self, begun: Pass, logs: StepLogs, at_ns: int, *, is_new: bool) -> None:
        """Leave the pass that the loop was in, and open a stretch of another one.

        Args:
            begun: where the loop goes.
            logs: of its loader.
            at_ns: now.
            is_new: it begins.
        """
        if self.logs is not None:
            # Left for a new pass of the same loader, a pass was broken off, and how long its last batch was of use is
            # not known. Left for another one, it was not: that batch was worked on until now.
            self.logs.end_epoch(at_ns, is_dropped=is_new and self.logs is logs)
        self.entered, self.logs = begun, logs
        logs.begin_epoch(at_ns)

    def forget(self, logs: StepLogs) -> None:
        """These logs are closed."""
        if self.logs is logs:
            self.entered = self.logs = None


THE_LOOP = Loop()
"""Of this process: loaders that are watched by themselves take turns as well."""


class FollowedLoader:
    """Follows and records one loader's iterations; whatever fails here is given to ``fail``, and to nobody else."""

    def __init__(
        self,
        recording: LoaderRecording,
        facts: LoaderFacts,
        job: WorkerJob,
        device: str,
        fail: Callable[[Exception], None],
    ) -> None:
        self.recording = recording
        self.workers: list[BaseProcess] = []
        """Of the iterators that were made, as far as torch tells."""
        self._facts = facts
        self._logs = recording.logs
        self._device = device
        self._guard = Guard(fail)
        self._is_on = True
        self._latest: Pass | None = None
        workers = facts.workers or 0
        self._maker = BatchMaker(MakerJob(job=job, workers=max(1, workers), owner_pid=os.getpid()))
        if workers == 0:
            self._maker.open(IN_CONSUMER)

    def off(self) -> None:
        """Record nothing more; batches are handed over all the same."""
        self._is_on = False
        if not self._facts.workers:
            self._maker.close()
        THE_LOOP.forget(self._logs)

    def leave(self) -> None:
        """This process is a copy of the one that records: touch nothing of it."""
        self._is_on = False
        self.recording.leave()
        if not self._facts.workers:
            self._maker.leave()

    def begin_pass(self) -> tuple[Pass, BatchMaker] | None:
        """Open a pass."""
        if self._is_on:
            with self._guard:
                return self._begun(self._memory()), self._maker
        return None

    def begin_again(self, begun: Pass) -> Pass:
        """Open another pass with the workers of one."""
        if self._is_on:
            with self._guard:
                return self._begun(begun.told)
        return begun

    def found(self, before: Pass | None) -> Pass | None:
        """Open a pass of workers that were started before; ``before`` is one that was watched then."""
        if self._is_on:
            with self._guard:
                if before is None:
                    self.recording.tell(_STARTED_BEFORE)
                return self._begun([0, 0] if before is None else before.told)
        return None

    def _memory(self) -> Told:
        """Return what the processes that make this pass's batches share with this one."""
        if not self._facts.workers:
            return [0, 0]
        context = multiprocessing.get_context(str(self._facts.settings["start_method"]))
        return cast("Told", context.RawArray(ctypes.c_int64, 2))

    def _begun(self, told: Told) -> Pass:
        start_ns = now_ns()
        if isinstance(self._logs.timeline, HostTimeline):
            self._time_on(timeline(self._device))
        told[0] = self._latest.next_number() if self._latest is not None else 0
        told[1] = self._logs.epoch + 1
        begun = Pass(told, start_ns=start_ns, workers=self._facts.workers or 0, prefetch=self._facts.prefetch or 1)
        THE_LOOP.enter(begun, self._logs, start_ns, is_new=True)
        self._latest = begun
        return begun

    def _time_on(self, found: Timeline) -> None:
        if not isinstance(found, HostTimeline):
            self._logs.timeline = found
            self.recording.note(accelerator=measured_accelerator(found))

    def made(self, iterator: object) -> None:
        """Remember the workers of an iterator."""
        self.workers += getattr(iterator, "_workers", [])

    def asked(self, begun: Pass) -> None:
        """The consumer asks for the next batch."""
        if not self._is_on:
            return
        with self._guard:
            at_ns = now_ns()
            if THE_LOOP.entered is not begun:
                THE_LOOP.enter(begun, self._logs, at_ns, is_new=False)
            self._logs.asked(at_ns)

    def received(self, begun: Pass, envelope: object) -> object:
        """Return the batch that the consumer gets."""
        at_ns = now_ns()
        batch, stamps, failure = opened(envelope)
        if self._is_on:
            with self._guard:
                self._note(begun, batch, stamps, failure, at_ns)
        return batch

    def _note(self, begun: Pass, data: object, stamps: BatchStamps | None, failure: str | None, at_ns: int) -> None:
        if failure is not None:
            self.recording.tell(f"A worker's batches are not watched any more: {failure}.")
        if stamps is not None:
            batch = stamps.batch(None, begun.dispatch_ns(stamps, at_ns))
        else:
            number = begun.unknown_number()
            batch = Batch(data=None, worker=IN_CONSUMER, number=number, samples=samples_in(data), size_bytes=-1)
        self._logs.received(batch, at_ns)

    def ended(self, begun: Pass) -> None:
        """There was no further batch."""
        begun.is_through = True
        if self._is_on and THE_LOOP.entered is begun:
            with self._guard:
                self._logs.end_epoch(now_ns())
                THE_LOOP.forget(self._logs)

    def iterate(self, loader: Iterable[object]) -> Iterator[object]:
        """Return an iterator over any iterable; what it does to make a batch is accounted to this thread."""
        watched = self.begin_pass()
        items = iter(loader)
        if watched is None:
            return items
        begun, maker = watched
        asks = iter(functools.partial(self._ask, begun, maker), None)
        # All in C: what the iterable raises goes to the consumer without a frame of ours in its traceback.
        return map(functools.partial(self._got, begun, maker), asks, chain(items, self._noted(begun)))

    def _ask(self, begun: Pass, maker: BatchMaker) -> bool:
        self.asked(begun)
        maker.begin(begun, begun.told)
        return True

    def _got(self, begun: Pass, maker: BatchMaker, _: bool, item: object) -> object:
        maker.fetched()
        return self.received(begun, maker.sealed(item, None))

    def _noted(self, begun: Pass) -> Iterator[object]:
        """Yield nothing, and note that it came to that."""
        self.ended(begun)
        yield from ()
