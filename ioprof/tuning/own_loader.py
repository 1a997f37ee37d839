"""A user's own loader as something that can be tuned: each measurement is a watched run of it."""

from __future__ import annotations

import time
import traceback
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow.compute as pc

from ioprof.analysis.answer import verdict_alone
from ioprof.analysis.bootstrap import MIN_STEPS
from ioprof.analysis.summarise import summarise
from ioprof.api import load
from ioprof.errors import RunError, UsageError
from ioprof.runner.run_failure import told
from ioprof.spec.model import DEFAULT_WARMUP
from ioprof.trace.reader import load_trace
from ioprof.tuning.setting import USUAL_PREFETCH, Setting
from ioprof.tuning.tunable import Judged, Measured
from ioprof.tuning.workers_memory import worker_bytes
from ioprof.tuning.workload import LONGER, too_short
from ioprof.watcher.facts import facts_of
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
            duration_s: length of each run beyond its warm-up; one with few steps goes on for up to four times as long.
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
            problem, owned_bytes = self._run(loader, session, warmup)
        del loader  # its workers end here, where they were to live on for another pass
        if session.failure is not None or session.directory is None:
            raise RunError(f"{setting.told}: cannot be recorded: {session.failure or 'no batch was asked for'}")
        return self._found(setting, session.directory, problem, owned_bytes, start_s)

    def _run(self, loader: Iterable[Item], session: WatchSession, warmup: int) -> tuple[str | None, int | None]:
        """Use batches for the time given; return what went wrong, and what a worker has for itself."""
        used = _Used(self._duration_s, warmup)
        batches = _endless(Watched(loader, session))
        try:
            for batch in _until_failure(batches):
                if self._train_step is not None:
                    self._train_step(batch)
                used.step()
                if used.is_enough:
                    break
            owned_bytes = worker_bytes(session.worker_pids)
        except _LoaderFailedError as failed:
            session.close(failed.error)
            # torch's frames and the error hold each other: the workers would stay.
            traceback.clear_frames(failed.error.__traceback__)
            return told(failed.error), None
        except BaseException as error:
            session.close(error)
            raise
        finally:
            batches.close()
        session.close()
        return None, owned_bytes

    def _found(
        self, setting: Setting, directory: Path, problem: str | None, owned_bytes: int | None, start_s: float
    ) -> Measured:
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
        largest = pc.max(trace.batches["bytes"]).as_py()
        if summary.cache.client_hit_ratio is not None:
            self._hits.append((setting, summary.cache.client_hit_ratio))
        problem = too_short(summary, "use a longer duration_s")
        return Measured(
            setting=setting,
            samples_per_s=summary.samples_per_s if problem is None else None,
            samples_per_s_ci95=summary.samples_per_s_ci95,
            accelerator_utilization=summary.accelerator_utilization if self._train_step is not None else None,
            steps=summary.steps,
            batch_bytes=int(largest) if largest and largest > 0 else None,
            worker_bytes=owned_bytes if setting.workers else None,
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


class _Used:
    """How much of a loader was used."""

    def __init__(self, duration_s: float, warmup: int) -> None:
        self._duration_s, self._warmup = duration_s, warmup
        self._steps = 0
        self._start_s = self._begin_s = time.monotonic()

    def step(self) -> None:
        """One more batch."""
        self._steps += 1
        if self._steps == self._warmup:
            self._begin_s = time.monotonic()

    @property
    def is_enough(self) -> bool:
        """As long as asked for, with steps enough for an interval; or far longer, however few."""
        now_s = time.monotonic()
        if now_s - self._start_s >= (1 + LONGER) * self._duration_s:
            return True
        return self._steps >= self._warmup + MIN_STEPS and now_s - self._begin_s >= self._duration_s


class _LoaderFailedError(Exception):
    """The loader raised what its setting may be the reason of; what `train_step` raises is never this."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


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
