"""Checkpoints beside the steps: when one is due, what the step loop waits for, and what is written down of it."""

from __future__ import annotations

import contextlib
import errno
import os
import warnings
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ioprof.checkpoint.folder import FolderPlan, checkpoint_folder
from ioprof.checkpoint.saver import Restored, Saved, Saver
from ioprof.clock import now_ns
from ioprof.dataset.place import place
from ioprof.errors import CaveatWarning, RunError, SpecError, StoreError, StoreFullError
from ioprof.host.cgroup import memory_limit_bytes
from ioprof.runner.hooks import StepHook
from ioprof.runner.interrupt import shielded
from ioprof.spec.model import CheckpointSection
from ioprof.store.base import Store
from ioprof.trace.kinds import error_code
from ioprof.trace.recordlog import RecordLog
from ioprof.trace.schema import CHECKPOINTS
from ioprof.units import format_bytes

if TYPE_CHECKING:
    from ioprof.checkpoint.state import State

SAVE, RESTORE = 0, 1
MODES = ("sync", "background")
"""Words of the spec, in the order of their numbers in the trace."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def check_memory(section: CheckpointSection, *, is_local: bool) -> None:
    """Refuse a state that this host's memory cannot hold.

    Raises:
        SpecError: it would need more than there is.
    """
    if section.every == 0:
        return
    copies = {
        "the state": True,
        "its copy for background saves": section.mode == "background",
        "one to put as an object": not is_local,
        "one to restore into": section.restore,
    }
    needed_bytes = section.size * sum(copies.values())
    limit_bytes = memory_limit_bytes()
    room_bytes = min(psutil.virtual_memory().available, limit_bytes or 1 << 62)
    if needed_bytes > room_bytes:
        held = " and ".join(what for what, is_held in copies.items() if is_held)
        raise SpecError(
            f"checkpoint.size = {format_bytes(section.size)}: for {held}, {format_bytes(needed_bytes)} of memory "
            f"is needed, and {format_bytes(room_bytes)} are available; use a smaller --checkpoint-size"
        )


@dataclass(slots=True)
class _Due:
    """A save that has begun."""

    step: int
    start_ns: int
    waited_ns: int
    saving: Future[Saved]
    blocked_end_ns: int


class Checkpoints:
    """Saves the state every so many steps."""

    def __init__(
        self, section: CheckpointSection, state: State, saver: Saver, log: RecordLog, *, rank: int, where: str
    ) -> None:
        """Take what `checkpoints_of` made.

        Args:
            section: what the spec asks for.
            state: what is saved.
            saver: how.
            log: gets a row for each save and restore.
            rank: of the accelerator whose state it is.
            where: the folder, for messages.
        """
        self._section = section
        self._state = state
        self._saver = saver
        self._log = log
        self._rank = rank
        self._where = where
        self._running: _Due | None = None
        self._removal_is_told = False

    def after_step(self, step: int) -> int | None:
        """Save if a save is due; see `StepHook.after_step`."""
        if self._running is not None and self._running.saving.done():
            self._end_save(self._running)
        if (step + 1) % self._section.every:
            return None
        start_ns, waited_ns = now_ns(), 0
        if self._running is not None:
            self._end_save(self._running)
            waited_ns = now_ns() - start_ns
        if self._section.mode == "background":
            self._state.snapshot()
            saving = self._saver.save(step, self._state.snapshot_shards)
            self._running = _Due(step, start_ns, waited_ns, saving, now_ns())
            return self._running.blocked_end_ns
        self._running = due = _Due(step, start_ns, waited_ns, self._saver.save(step, self._state.shards), -1)
        self._end_save(due)
        return due.blocked_end_ns

    def finish(self) -> None:
        """Wait for a save under way, and read the last one back if asked; see `StepHook.finish`."""
        if self._running is not None:
            self._end_save(self._running)
        restoring = self._saver.restore() if self._section.restore else None
        if restoring is not None:
            self._end_restore(restoring)

    def close(self) -> None:
        """Drop what is being saved and release everything; safe to call twice."""
        # Not to be broken off half-way: a writer that goes on would write into a folder that is being removed.
        with shielded():
            try:
                self._saver.close()
                if self._running is not None:
                    with contextlib.suppress(StoreError, RunError):  # what ended the run is told already
                        self._end_save(self._running)
            finally:
                self._log.close()

    def _end_save(self, due: _Due) -> None:
        """Wait until a save has ended and write it down.

        Raises:
            StoreError: it failed.
            RunError: torch refused.
        """
        try:
            saved = due.saving.result()
        except (RuntimeError, MemoryError) as refusal:
            self._running = None
            raise RunError(f"the checkpoint after step {due.step:,} could not be serialised: {refusal}") from refusal
        except Exception:
            # Nothing will become of it, and closing must not meet the same again; a signal leaves it to closing.
            self._running = None
            raise
        self._running = None
        if due.blocked_end_ns < 0:
            due.blocked_end_ns = now_ns()
        error = 0 if saved.error is None else error_code(saved.error)
        self._log.append(
            self._rank, due.step, SAVE, due.start_ns, due.waited_ns, due.blocked_end_ns, saved.durable_ns,
            saved.size_bytes, self._section.shards, MODES.index(self._section.mode), error,
        )  # fmt: skip
        if saved.error is not None:
            raise self._failed(f"the checkpoint after step {due.step:,} could not be saved", saved.error)
        if saved.removal_error is not None:
            self._tell_removal(due.step, saved.removal_error)

    def _tell_removal(self, step: int, error: OSError) -> None:
        """Say once that older saves stay: the next ones try again, and mostly fail of the same."""
        if not self._removal_is_told:
            self._removal_is_told = True
            warnings.warn(
                f"{self._where}: after step {step:,} an older checkpoint could not be removed "
                f"({error.strerror or error}): more of them stood there than checkpoint.keep asks for.",
                CaveatWarning,
                stacklevel=2,
            )

    def _end_restore(self, restoring: Future[Restored]) -> None:
        """Wait until the state is read, write it down, and hold it against what was saved.

        Raises:
            StoreError: it could not be read, or is not what was saved.
        """
        start_ns = now_ns()
        try:
            restored = restoring.result()
        except OSError as error:
            self._log_restore(-1, start_ns, now_ns(), 0, error_code(error))
            raise self._failed("the last checkpoint could not be restored", error) from error
        self._log_restore(restored.step, restored.start_ns, restored.end_ns, restored.size_bytes, 0)
        for shard, found in enumerate(restored.states):
            other = self._state.differs_from(shard, found)
            if other is not None:
                raise StoreError(
                    f"{self._where}: the checkpoint after step {restored.step:,} is not what was saved: {other} of "
                    f"shard {shard} differs; the store or this host's memory has changed it"
                )

    def _log_restore(self, step: int, start_ns: int, end_ns: int, size_bytes: int, error: int) -> None:
        self._log.append(
            self._rank, step, RESTORE, start_ns, 0, end_ns, -1, size_bytes, self._section.shards,
            MODES.index(self._section.mode), error,
        )  # fmt: skip

    def _failed(self, what: str, error: OSError) -> StoreError:
        why = f"{self._where}: {what}: {error.strerror or error}"
        if error.errno in _FULL:
            return StoreFullError(
                f"{why}; free some space, or use a smaller --checkpoint-size or --checkpoint-keep; "
                "what was measured is kept"
            )
        return StoreError(f"{why}; what was measured is kept")


@contextmanager
def checkpoints_of(
    section: CheckpointSection, store: Store, raw_dir: Path, *, rank: int, seed: int
) -> Iterator[list[StepHook]]:
    """Make ready what saves the state, and release it at the end; yields no hook where nothing is to be saved.

    Args:
        section: what the spec asks for.
        store: root of the store; the files go into a folder of their own there.
        raw_dir: the run's raw files.
        rank: of the accelerator whose state it is.
        seed: decides the state's bytes.

    Raises:
        StoreError: the store cannot hold the files.
        RunError: this host's memory cannot hold the state.
        OSError: the results disk is full.
    """
    if section.every == 0:
        yield []
        return
    # Imported here: it brings torch, which a run without checkpoints may not need.
    from ioprof.checkpoint.state import State

    plan = FolderPlan(
        name=f"checkpoints-{raw_dir.parent.name}-{os.getpid()}-{rank}",
        save_bytes=section.size,
        shards=section.shards,
        keep=section.keep,
        seed=seed,
    )
    with checkpoint_folder(store, plan, keep_files=section.keep_files) as folder:
        state = State(section.size, section.shards, seed)
        if section.mode == "background":
            state.reserve_snapshot()
        with contextlib.closing(
            Saver(folder, str(raw_dir), rank=rank, shards=section.shards, fsync=section.fsync, keep=section.keep)
        ) as saver:
            log = RecordLog(raw_dir / f"checkpoints-{rank}.log", CHECKPOINTS)
            hook = Checkpoints(section, state, saver, log, rank=rank, where=place(folder))
            try:
                yield [hook]
            finally:
                hook.close()
                if section.keep_files:
                    warnings.warn(f"Checkpoints are kept in {place(folder)}.", CaveatWarning, stacklevel=2)
