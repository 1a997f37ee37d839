"""What one process records of the loaders that it uses: a run directory for the first, one below it for each other.

    session = WatchSession(Path("results"), label=None, warmup="auto", device="auto")
    session.attach(loader)              # a torch DataLoader: all its iterations from here on are recorded
    for batch in loader: ...
    directory = session.close("complete", None)

Nothing that goes wrong here reaches the program: it is warned once, and goes on unwatched.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import signal
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from ioprof.analysis.answer import verdict_alone
from ioprof.api import load
from ioprof.contract import WorkerJob, dead_among
from ioprof.errors import CaveatWarning, IoprofError
from ioprof.report.jsonfile import write_summary
from ioprof.runner.run_failure import told
from ioprof.runner.worker_death import death_text
from ioprof.store.local import LocalStore
from ioprof.store.tap import Tap
from ioprof.trace.overhead import measured_cost
from ioprof.trace.run_record import Outcome, OverheadRecord
from ioprof.trace.rundir import RAW, create_run_directory
from ioprof.watcher.facts import WORKLOAD, checked_warmup, facts_of, first_record, torch_loader, warmup_steps
from ioprof.watcher.followed import FollowedLoader
from ioprof.watcher.guard import Guard, deaths_put_off
from ioprof.watcher.recording import LoaderRecording
from ioprof.watcher.torch_hooks import attach

_DYING_S = 5.0
"""How long the end of a process may follow that of its connections: on a busy host it waits for a CPU."""
SPAN_BUDGET = 1_000_000
"""Records that each process keeps; beyond, one batch in N is traced in full."""
LOADERS = "loaders"
"""Folder in the run directory with the directories of all loaders but the first."""


def analysed(directory: Path) -> None:
    """Analyse a complete run directory and write its summary.

    Raises:
        RunDirectoryError: it cannot be read.
        OSError: the results disk is full.
    """
    write_summary(directory, load(directory, verdict_alone).summary)


class WatchSession:
    """The loaders that this process uses, each with its run directory; the first one's holds the others'."""

    def __init__(
        self,
        results: Path,
        *,
        label: str | None,
        warmup: int | str,
        device: str,
        conclude: Callable[[Path], None] = analysed,
    ) -> None:
        """Say where and how; nothing is written before the first loader is used.

        Args:
            results: folder that gets the run directory.
            label: added to its name.
            warmup: first steps to leave out of the figures, or ``auto``: as many as prove to be start-up.
            device: ``cpu``, ``cuda`` or ``auto``: where the accelerator's work is timed.
            conclude: what is done with each run directory once it is complete.

        Raises:
            SpecError: there is no such warm-up.
        """
        self._conclude = conclude
        self._results, self._label, self._device = results, label, device
        self._warmup = checked_warmup(warmup)
        self._pid = os.getpid()
        self._overhead: OverheadRecord | None = None
        self._followed: list[FollowedLoader] = []
        self._attached: weakref.WeakKeyDictionary[object, FollowedLoader] = weakref.WeakKeyDictionary()
        self._guard = Guard(self._fail)
        self._plain: list[tuple[object, FollowedLoader]] = []
        """Iterables of any other kind."""
        self._detach: list[Callable[[], None]] = []
        self.directory: Path | None = None
        """The run directory; None before the first loader is used."""
        self.failure: str | None = None
        """Why nothing more is recorded."""
        self._is_closed = False
        _OPEN.add(self)
        # A program may end without leaving its block, or never enter one.
        atexit.register(self.close_at_exit)

    def attach(self, loader: object) -> None:
        """Record all further iterations over a torch DataLoader; once is enough."""
        inner = torch_loader(loader)
        if inner is None or not self._is_on() or inner in self._attached:
            return
        with self._guard:
            followed = self._follow(loader)
            self._detach.append(attach(inner, followed))
            self._attached[inner] = followed

    def iterate(self, loader: Iterable[object]) -> Iterator[object]:
        """Return an iterator over any iterable of batches, and record what the consumer sees of it.

        Args:
            loader: iterated over once for each call.
        """
        followed = None
        if self._is_on():
            with self._guard:
                followed = self._found(loader)
        return iter(loader) if followed is None else followed.iterate(loader)

    def _found(self, loader: object) -> FollowedLoader:
        for known, followed in self._plain:
            if known is loader:
                return followed
        followed = self._follow(loader)
        self._plain.append((loader, followed))
        return followed

    def _is_on(self) -> bool:
        return self.failure is None and not self._is_closed and os.getpid() == self._pid

    def _follow(self, loader: object) -> FollowedLoader:
        facts = facts_of(loader)
        started = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        directory = self._new_directory(started, facts.name)
        job = self._worker_job(directory)
        if self._overhead is None:
            cost = measured_cost(job)
            self._overhead = OverheadRecord(span_ns=cost.span_ns, batch_ns=cost.batch_ns)
        record = first_record(
            facts, started_utc=started, label=self._label, warmup=self._warmup, overhead=self._overhead
        )
        first = self._followed[0].recording if self._followed else None
        recording = LoaderRecording(directory, record, host_of=first)
        followed = FollowedLoader(recording, facts, job, self._device, self._fail)
        self._followed.append(followed)
        return followed

    def _new_directory(self, started: str, name: str) -> Path:
        if self.directory is None:
            self.directory = create_run_directory(
                self._results, started_utc=started, workload=WORKLOAD, loader=name, label=self._label
            )
            return self.directory
        directory = self.directory / LOADERS / f"{len(self._followed) + 1}-{name}"
        (directory / RAW).mkdir(parents=True)
        return directory

    def _worker_job(self, directory: Path) -> WorkerJob:
        return WorkerJob(
            source=_NoSource(),
            store=LocalStore("/"),
            trace_dir=str((directory / RAW).absolute()),
            rank=0,
            warmup_batches=warmup_steps(self._warmup),
            span_budget=SPAN_BUDGET,
            cache_budget=0.0,
        )

    def _fail(self, error: Exception) -> None:
        """Go on without recording, and tell the program so once."""
        if self.failure is not None or os.getpid() != self._pid:
            return
        self.failure = _told(error)
        with deaths_put_off():
            self._finish("failed", f"watching stopped: {self.failure}")
        _warn(f"ioprof does not watch any more: {self.failure}")

    @property
    def worker_pids(self) -> list[int]:
        """The workers' process ids, of all iterators that were made, as far as torch tells."""
        return [one.pid for followed in self._followed for one in followed.workers if one.pid is not None]

    def close(self, error: BaseException | None = None) -> Path | None:
        """End the recording and complete the run directories; return the first one's; safe to call twice.

        Args:
            error: what ended the program's loop; None: it went to its end.
        """
        if not self._is_on():
            return self.directory
        with deaths_put_off():
            outcome, reason = _outcome_of(error)
            deaths = [_deaths(followed, error) for followed in self._followed] if isinstance(error, _OF_A_DEATH) else []
            reason = "; ".join(text for text in deaths if text is not None) or reason
            self._finish(outcome, reason)
        return self.directory

    def close_at_exit(self) -> None:
        """End the recording of a process that ends: by the exception that nobody caught, if there was one."""
        # Ctrl-C once more leaves what is written as it is: it can be read.
        with contextlib.suppress(KeyboardInterrupt):
            self.close(getattr(sys, "last_value", None))

    def _finish(self, outcome: Outcome, reason: str | None) -> None:
        self._is_closed = True
        _OPEN.discard(self)
        atexit.unregister(self.close_at_exit)
        for detach in self._detach:
            detach()
        self._detach.clear()
        self._plain.clear()
        # The first one last: its series of the host is the others' too.
        for followed in reversed(self._followed):
            directory = followed.recording.directory
            with Guard(functools.partial(self._unfinished, directory)):
                followed.off()
                followed.recording.close(outcome, reason)
                self._conclude(directory)

    def _unfinished(self, directory: Path, error: Exception) -> None:
        if self.failure is None:
            _warn(f"{directory}: {_told(error)}; ioprof report reads what is there")

    def forked(self) -> None:
        """This process is a copy of the one that records: it must leave the recording alone."""
        for followed in self._followed:
            followed.leave()


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, IoprofError) else told(error)


def _warn(text: str) -> None:
    # A program may have made errors of warnings: even then it goes on.
    with contextlib.suppress(Warning):
        warnings.warn(text, CaveatWarning, stacklevel=2)


_OPEN: weakref.WeakSet[WatchSession] = weakref.WeakSet()


def _after_fork() -> None:
    for session in list(_OPEN):
        session.forked()


os.register_at_fork(after_in_child=_after_fork)


class _NoSource:
    """What stands where a built-in loader's worker has its reader: a watched one reads by itself."""

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes]:
        """Read nothing."""
        return ()


def _outcome_of(error: BaseException | None) -> tuple[Outcome, str | None]:
    if error is None or isinstance(error, GeneratorExit) or (isinstance(error, SystemExit) and not error.code):
        return "complete", None
    if isinstance(error, KeyboardInterrupt):
        return "interrupted", type(error).__name__
    return "failed", told(error) if isinstance(error, Exception) else repr(error)


_BROKEN = (ConnectionError, EOFError, FileNotFoundError)
"""What the death of a worker shows as where it breaks a connection: a little before the process has ended."""
_OF_A_DEATH = (*_BROKEN, RuntimeError, OSError)
"""All that the death of a worker shows as in the consumer; the others are torch's words once it knows of the end."""


def _deaths(followed: FollowedLoader, error: BaseException) -> str | None:
    """Return who of the workers was killed, or crashed; torch itself ends those it cannot stop by SIGTERM."""
    dying_s = _DYING_S if isinstance(error, _BROKEN) else 0
    dead = [one for one in dead_among(followed.workers, dying_s) if one.exit_code != -signal.SIGTERM]
    return death_text(dead) if dead else None
