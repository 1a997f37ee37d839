"""A user's own loader as something that can be tuned: each measurement is a watched run of it."""

from __future__ import annotations

import gc
import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from ioprof.analysis.answer import verdict_alone
from ioprof.analysis.bootstrap import MIN_STEPS
from ioprof.analysis.summarise import summarise
from ioprof.api import load
from ioprof.contract import bytes_in
from ioprof.errors import RunError, UsageError
from ioprof.runner.run_failure import told
from ioprof.spec.model import DEFAULT_WARMUP
from ioprof.trace.reader import load_trace
from ioprof.tuning.setting import USUAL_PREFETCH, Setting
from ioprof.tuning.tunable import Judged, Measured
from ioprof.tuning.workers_memory import worker_bytes
from ioprof.tuning.workload import LONGER, too_short
from ioprof.watcher.facts import facts_of
from ioprof.watcher.guard import deaths_put_off, is_of_a_death
from ioprof.watcher.session import WatchSession
from ioprof.watcher.watching import Watched

Item = TypeVar("Item")
MakeLoader = Callable[[int, int | None], Iterable[Item]]
"""Given workers and prefetch, None where there are no workers, makes a loader with them."""

OF_SETTINGS = (RuntimeError, OSError, MemoryError, EOFError)
"""What too many workers show as: a killed one as a RuntimeError of torch, or as a connection that it broke; exhausted
shared memory and descriptors as the first two. Anything else that a loader raises is no matter of its setting."""
_CHANGED_CACHE_RATIO = 0.1
"""The share of reads that the page cache served differs by more: two runs did not do the same work."""


class OwnLoaderRuns(Generic[Item]):
    """Makes and watches the loader of one setting after another; each goes through as much of it as time allows."""

    def __init__(
        self,
        make_loader: MakeLoader[Item],
        train_step: Callable[[Item], object] | None,
        *,
        directory: Path,
        duration_s: float,
    ) -> None:
        """Say what to run; run directories are made below ``directory``.

        Args:
            make_loader: makes the loader of a setting.
            train_step: uses a batch; None: nothing does, and the loader is as fast as it can be.
            directory: exists.
            duration_s: length of each run beyond its warm-up; one with few steps goes on up to five times as long,
                warm-up included.
        """
        self._make, self._train_step = make_loader, train_step
        self._directory, self._duration_s = directory, duration_s
        self._hits: list[tuple[Setting, float]] = []

    def measure(self, setting: Setting) -> Measured:
        """Run it; a loader that runs out of something with that setting is a result too.

        Raises:
            UsageError: what was made has another setting, or no batches.
            RunError: the run cannot be recorded.
            Interrupted: a signal ended it.

        Whatever else ``make_loader``, ``train_step`` or the dataset raise goes on to the caller.
        """
        start_s = time.monotonic()
        warmup = max(DEFAULT_WARMUP, setting.workers)
        session = WatchSession(self._directory, label=setting.label, warmup=warmup, device="auto")
        with warnings.catch_warnings():
            # torch advises against more workers than CPUs; whether it is right is what this run finds out.
            warnings.filterwarnings("ignore", message="This DataLoader will create", category=UserWarning)
            loader = self._make(setting.workers, setting.prefetch)
            check_setting(loader, setting)
            try:
                problem, taken = self._run(loader, session, warmup)
            except RuntimeError as error:
                # A worker's death may strike again while the end of its connection is being told.
                if not is_of_a_death(error):
                    raise
                problem, taken = _closed(session, error), _Taken()
        # Workers that were to live on for another pass end here, and what stands in circles holds descriptors.
        with deaths_put_off():
            del loader
            gc.collect()
        if session.failure is not None or session.directory is None:
            raise RunError(f"{setting.told}: cannot be recorded: {session.failure or 'no batch was asked for'}")
        return self._found(setting, session.directory, problem, taken, start_s)

    def _run(self, loader: Iterable[Item], session: WatchSession, warmup: int) -> tuple[str | None, _Taken]:
        """Use batches for the time given; return what went wrong, and what they took."""
        used = _Used(self._duration_s, warmup)
        batches = _endless(Watched(loader, session))
        try:
            for batch in _until_failure(batches):
                if self._train_step is not None:
                    self._train_step(batch)
                used.step(batch)
                if used.is_enough:
                    break
            taken = _Taken(batch_bytes=used.batch_bytes, worker_bytes=worker_bytes(session.worker_pids))
        except _LoaderFailedError as failed:
            return _closed(session, failed.error), _Taken()
        except BaseException as error:
            if not is_of_a_death(error):
                session.close(error)
            raise
        finally:
            with deaths_put_off():
                batches.close()
        session.close()
        return None, taken

    def _found(self, setting: Setting, directory: Path, problem: str | None, taken: _Taken, start_s: float) -> Measured:
        if problem is not None:
            reason = load(directory, verdict_alone).record.reason or problem
            return Measured(
                setting=setting,
                samples_per_s=None,
                directory=directory,
                seconds=time.monotonic() - start_s,
                problem=" ".join(reason.split()),
                fits=False,
            )
        trace, summary = load_trace(directory), load(directory, verdict_alone).summary
        if summary.cache.client_hit_ratio is not None:
            self._hits.append((setting, summary.cache.client_hit_ratio))
        problem = too_short(summary, "use a longer duration_s")
        return Measured(
            setting=setting,
            samples_per_s=summary.samples_per_s if problem is None else None,
            samples_per_s_ci95=summary.samples_per_s_ci95,
            accelerator_utilization=summary.accelerator_utilization if self._train_step is not None else None,
            steps=summary.steps,
            batch_bytes=taken.batch_bytes,
            worker_bytes=taken.worker_bytes if setting.workers else None,
            trace=trace,
            directory=directory,
            seconds=time.monotonic() - start_s,
            problem=problem,
        )

    def judge(self, measured: Measured) -> Judged:
        """Return what a run says of its own limits; nobody knows what it reads, so no store is probed."""
        if measured.trace is None:
            return Judged(bound=None, sentence="Its trace is not at hand.")
        verdict = summarise(measured.trace, verdict_alone).verdict
        return Judged(bound=verdict.bound, sentence=verdict.sentence)

    def remarks(self) -> list[str]:
        """Return what makes the runs hard to compare: what one reads, the next finds in the page cache."""
        if not self._hits:
            return []
        (least_of, least), (most_of, most) = (end(self._hits, key=lambda one: one[1]) for end in (min, max))
        if most - least <= _CHANGED_CACHE_RATIO:
            return []
        return [
            f"the page cache served {least:.0%} of what the run with {least_of.told} read and {most:.0%} with "
            f"{most_of.told}: they did not do the same work; tune once more, or drop the caches in make_loader"
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Taken:
    """What a setting took of the host; None: not known."""

    batch_bytes: int | None = None
    worker_bytes: int | None = None


class _Used:
    """How much of a loader was used."""

    def __init__(self, duration_s: float, warmup: int) -> None:
        self._duration_s, self._warmup = duration_s, warmup
        self._steps = 0
        self.batch_bytes: int | None = None
        """Of the largest batch of the warm-up; None: none of them says."""
        self._first_s = self._begin_s = 0.0

    def step(self, batch: object) -> None:
        """One more batch was used."""
        self._steps += 1
        if self._steps == 1:
            self._first_s = time.monotonic()  # workers that take long to come up are no part of it
        if self._steps <= self._warmup:
            # Later ones are measured: looking at them would be busy time.
            self.batch_bytes = max(self.batch_bytes or 0, bytes_in(batch)) or None
        if self._steps == self._warmup:
            self._begin_s = time.monotonic()

    @property
    def is_enough(self) -> bool:
        """As long as asked for, with steps enough for an interval; or far longer, however few."""
        now_s = time.monotonic()
        if now_s - self._first_s >= (1 + LONGER) * self._duration_s:
            return True
        return self._steps >= self._warmup + MIN_STEPS and now_s - self._begin_s >= self._duration_s


class _LoaderFailedError(Exception):
    """The loader raised what its setting may be the reason of; what `train_step` raises is never this."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


def _closed(session: WatchSession, error: Exception) -> str:
    """End the recording of a loader that failed; return what it says."""
    with deaths_put_off():
        session.close(error)
        # torch's frames and the error hold each other: the workers would stay.
        traceback.clear_frames(error.__traceback__)
        return told(error)


def _endless(watched: Watched[Item]) -> Generator[Item]:
    """Yield batches, pass after pass.

    Raises:
        UsageError: a pass has none.
    """
    while True:
        is_empty = True
        for batch in watched:
            is_empty = False
            yield batch
        if is_empty:
            raise UsageError("make_loader: the loader it returned has no batches")


def _until_failure(batches: Iterator[Item]) -> Iterator[Item]:
    while True:
        try:
            batch = next(batches)
        except OF_SETTINGS as error:
            raise _LoaderFailedError(error) from error
        yield batch


def check_setting(loader: object, setting: Setting) -> None:
    """Refuse a torch DataLoader that was made with another setting than was asked for.

    Raises:
        UsageError: it was.
    """
    facts = facts_of(loader)
    if not facts.is_torch:
        return
    if facts.workers != setting.workers:
        raise UsageError(
            f"make_loader({setting.workers}, {setting.prefetch}): returned a DataLoader with num_workers="
            f"{facts.workers}; pass the first argument on as num_workers"
        )
    if setting.workers and facts.prefetch != (setting.prefetch or USUAL_PREFETCH):
        raise UsageError(
            f"make_loader({setting.workers}, {setting.prefetch}): returned a DataLoader with prefetch_factor="
            f"{facts.prefetch}; pass the second argument on as prefetch_factor"
        )
