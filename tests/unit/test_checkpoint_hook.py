"""When the step loop saves, what it waits for, and what is written down of it."""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import cast

import pytest

from ioprof.accelerator.none import NoAccelerator
from ioprof.checkpoint.saver import Restored, Saved, Saver
from ioprof.checkpoint.state import State
from ioprof.clock import now_ns
from ioprof.contract import Batch
from ioprof.errors import CaveatWarning, SpecError, StoreError, StoreFullError
from ioprof.runner.checkpoints import Checkpoints, check_memory, checkpoints_of
from ioprof.runner.steps import StepLoop
from ioprof.spec.model import CheckpointSection
from ioprof.store.local import LocalStore
from ioprof.trace.recordlog import RecordLog, read_log
from ioprof.trace.schema import CHECKPOINTS, STEPS
from tests.open_descriptors import open_below


class FakeState:
    """Counts snapshots; nothing differs."""

    shards: Sequence[object] = ("live",)
    snapshot_shards: Sequence[object] = ("copy",)

    def __init__(self) -> None:
        self.snapshots = 0

    def snapshot(self) -> None:
        """Count one."""
        self.snapshots += 1

    def differs_from(self, shard: int, restored: object) -> str | None:
        """Whatever is not the live state differs."""
        return None if restored == "live" else "/model/layers.0.weight"


class FakeSaver:
    """Saves end when the test says so; with ``at_once``, when they begin."""

    def __init__(self, *, at_once: bool, error: OSError | None = None) -> None:
        self.at_once = at_once
        self.error = error
        self.removal_error: OSError | None = None
        self.begun: list[tuple[int, object]] = []
        self.futures: list[Future[Saved]] = []
        self.restored: object = "live"

    def save(self, step: int, states: Sequence[object]) -> Future[Saved]:
        """Begin a save."""
        self.begun.append((step, states[0]))
        self.futures.append(Future())
        if self.at_once:
            self.end()
        return self.futures[-1]

    def end(self, error: OSError | None = None) -> None:
        """End the last save."""
        error, now = error or self.error, now_ns()
        self.futures[-1].set_result(
            Saved(
                step=self.begun[-1][0], begun_ns=now, durable_ns=-1 if error else now, ended_ns=now,
                size_bytes=0 if error else 1000, error=error, removal_error=self.removal_error,
            )
        )  # fmt: skip

    def restore(self) -> Future[Restored] | None:
        """Give back what the test put here."""
        future: Future[Restored] = Future()
        if isinstance(self.restored, OSError):
            future.set_exception(self.restored)
        else:
            states = cast("list[object]", [self.restored])
            future.set_result(Restored(step=9, start_ns=5, end_ns=8, size_bytes=1000, states=states))  # type: ignore[arg-type]
        return future if self.begun else None

    def close(self) -> None:
        """What has not ended is dropped."""
        if self.futures and not self.futures[-1].done():
            self.end(OSError(errno.ECANCELED, "dropped"))


def hook_of(saver: FakeSaver, log: Path, **changes: object) -> tuple[Checkpoints, FakeState]:
    """Return a hook that saves every five steps, and its state."""
    section = CheckpointSection.model_validate({"every": 5, "size": "1MiB", **changes})
    state = FakeState()
    made = Checkpoints(
        section, cast("State", state), cast("Saver", saver), RecordLog(log, CHECKPOINTS), rank=0, where="/store/x"
    )
    return made, state


def rows(log: Path) -> list[dict[str, int | None]]:
    """Return what is written down so far."""
    found: list[dict[str, int | None]] = read_log(log, CHECKPOINTS).to_pylist()
    return found


def test_a_save_is_due_after_every_so_many_steps(tmp_path: Path) -> None:
    """Counted from the run's first step; other steps are not held up."""
    saver = FakeSaver(at_once=True)
    hook, _ = hook_of(saver, tmp_path / "log")
    held_up = [step for step in range(12) if hook.after_step(step) is not None]
    assert held_up == [4, 9] == [step for step, _ in saver.begun]
    assert [row["step"] for row in rows(tmp_path / "log")] == [4, 9]
    assert {what for _, what in saver.begun} == {"live"}


def test_the_loop_goes_on_when_a_sync_save_has_ended(tmp_path: Path) -> None:
    """The stamp that the hook returns is the one written down; the save was durable before."""
    hook, _ = hook_of(FakeSaver(at_once=True), tmp_path / "log")
    went_on_ns = hook.after_step(4)
    (row,) = rows(tmp_path / "log")
    assert row["start_ns"] is not None
    assert row["durable_ns"] is not None
    assert went_on_ns == row["blocked_end_ns"]
    assert row["start_ns"] < row["durable_ns"] <= (went_on_ns or 0)
    assert (row["waited_ns"], row["bytes"], row["mode"], row["error"]) == (0, 1000, 0, 0)


def test_a_background_save_holds_the_loop_up_for_the_copy_alone(tmp_path: Path) -> None:
    """It is written down once it has ended, with its own stamps; what is written is the copy."""
    saver = FakeSaver(at_once=False)
    hook, state = hook_of(saver, tmp_path / "log", mode="background")
    went_on_ns = hook.after_step(4)
    assert (state.snapshots, saver.begun, rows(tmp_path / "log")) == (1, [(4, "copy")], [])
    assert hook.after_step(5) is None
    saver.end()
    assert hook.after_step(6) is None
    (row,) = rows(tmp_path / "log")
    assert (row["step"], row["blocked_end_ns"], row["mode"], row["waited_ns"]) == (4, went_on_ns, 1, 0)
    assert (row["durable_ns"] or 0) > (went_on_ns or 0)


def test_a_save_that_comes_too_early_waits_for_the_one_before(tmp_path: Path) -> None:
    """And says for how long; the copy is not touched while it is still being written."""

    class Slow(Future[Saved]):
        def result(self, timeout: float | None = None) -> Saved:
            if not self.done():
                assert state.snapshots == 1
                saver.futures[-1] = self
                saver.end()
            return super().result(timeout)

    saver = FakeSaver(at_once=False)
    hook, state = hook_of(saver, tmp_path / "log", mode="background")
    hook.after_step(4)
    assert hook._running is not None
    hook._running.saving = Slow()
    went_on_ns = hook.after_step(9)
    saver.end()
    hook.finish()
    first, second = rows(tmp_path / "log")
    assert (first["step"], second["step"], state.snapshots) == (4, 9, 2)
    assert first["waited_ns"] == 0 < (second["waited_ns"] or 0)
    assert (second["start_ns"] or 0) + (second["waited_ns"] or 0) <= (went_on_ns or 0)


@pytest.mark.parametrize("mode", ["sync", "background"])
def test_a_save_that_failed_ends_the_run_in_one_line(mode: str, tmp_path: Path) -> None:
    """A full store says what to do; the failure is written down, with no time at which it was durable."""
    full = OSError(errno.ENOSPC, "No space left on device")
    hook, _ = hook_of(FakeSaver(at_once=True, error=full), tmp_path / "log", mode=mode)
    told = r"^/store/x: the checkpoint after step 4 could not be saved: No space left on device; free some space"
    with pytest.raises(StoreFullError, match=told) as caught:
        hook.after_step(4)
        hook.after_step(5)
    assert "\n" not in str(caught.value)
    (row,) = rows(tmp_path / "log")
    assert (row["durable_ns"], row["error"], row["bytes"]) == (None, errno.ENOSPC, 0)


def test_an_old_save_that_stays_is_a_caveat_told_once(tmp_path: Path) -> None:
    """The save itself is written down as one that stands."""
    saver = FakeSaver(at_once=True)
    saver.removal_error = OSError(errno.EPERM, "Operation not permitted")
    hook, _ = hook_of(saver, tmp_path / "log")
    told = r"^/store/x: after step 4 an older checkpoint could not be removed \(Operation not permitted\): more of them"
    with pytest.warns(CaveatWarning, match=told) as heard:
        hook.after_step(4)
        hook.after_step(9)
    assert len(heard) == 1
    assert [row["error"] for row in rows(tmp_path / "log")] == [0, 0]


def test_a_save_that_fails_of_anything_is_not_waited_for_again(tmp_path: Path) -> None:
    """Closing releases the log, and does not raise the same once more."""
    saver = FakeSaver(at_once=False)
    hook, _ = hook_of(saver, tmp_path / "log", mode="background")
    hook.after_step(4)
    saver.futures[-1].set_exception(TypeError("no such thing"))
    with pytest.raises(TypeError):
        hook.after_step(5)
    hook.close()
    assert rows(tmp_path / "log") == []


def test_a_log_that_cannot_be_made_releases_the_saver(tmp_path: Path) -> None:
    """No thread and no descriptor of it stays."""
    raw = tmp_path / "run" / "raw"
    raw.mkdir(parents=True)
    (raw / "checkpoints-0.log").mkdir()
    section = CheckpointSection.model_validate({"every": 1, "size": "1MiB"})
    with pytest.raises(FileExistsError), checkpoints_of(section, LocalStore(str(tmp_path)), raw, rank=0, seed=1):
        pass
    assert open_below(raw) == []


def test_closing_drops_the_save_under_way_and_writes_that_down(tmp_path: Path) -> None:
    """A run that is interrupted says so in its trace, and closing twice is safe."""
    hook, _ = hook_of(FakeSaver(at_once=False), tmp_path / "log", mode="background")
    hook.after_step(4)
    hook.close()
    hook.close()
    (row,) = rows(tmp_path / "log")
    assert (row["error"], row["durable_ns"]) == (errno.ECANCELED, None)


def test_the_last_save_is_restored_at_the_end_where_asked(tmp_path: Path) -> None:
    """With the stamps of the reading alone; without a save there is nothing to restore."""
    hook, _ = hook_of(FakeSaver(at_once=True), tmp_path / "log", restore=True)
    hook.finish()
    assert rows(tmp_path / "log") == []
    hook.after_step(4)
    hook.finish()
    row = rows(tmp_path / "log")[-1]
    assert (row["kind"], row["step"], row["start_ns"], row["blocked_end_ns"], row["bytes"]) == (1, 9, 5, 8, 1000)


@pytest.mark.parametrize(
    ("restored", "told"),
    [
        (OSError(errno.EIO, "Input/output error"), "could not be restored: Input/output error"),
        ("something else", "is not what was saved: /model/layers.0.weight of shard 0 differs"),
    ],
)
def test_a_restore_that_gives_something_else_ends_the_run(restored: object, told: str, tmp_path: Path) -> None:
    """A store that loses or changes what it was given does not pass for a fast one."""
    saver = FakeSaver(at_once=True)
    saver.restored = restored
    hook, _ = hook_of(saver, tmp_path / "log", restore=True)
    hook.after_step(4)
    with pytest.raises(StoreError, match=told):
        hook.finish()


def test_the_wait_for_the_next_batch_begins_when_the_hook_let_go(tmp_path: Path) -> None:
    """What a save takes is not in any step's wait."""

    class Held:
        def after_step(self, step: int) -> int | None:
            stamps.append(now_ns())
            return stamps[-1] if step % 2 else None

        def finish(self) -> None:
            stamps.append(-1)

    def batches() -> Iterator[Batch]:
        for number in range(4):
            yield Batch(data=None, number=number, worker=-1, samples=1, size_bytes=1)

    stamps: list[int] = []
    loop = StepLoop(tmp_path, NoAccelerator(), rank=0, max_errors=0, hooks=[Held()])
    loop.run_epoch(0, batches())
    loop.finish()
    loop.close()
    steps = read_log(tmp_path / "steps-0.log", STEPS).to_pylist()
    starts, ends = [step["wait_start_ns"] for step in steps], [step["busy_end_ns"] for step in steps]
    assert starts[1:] == [ends[0], stamps[1], ends[2]]
    assert stamps[4:] == [-1]


def test_no_hook_and_no_folder_without_checkpoints(tmp_path: Path) -> None:
    """A run that saves nothing touches nothing."""
    with checkpoints_of(CheckpointSection(), LocalStore(str(tmp_path)), tmp_path, rank=0, seed=1) as hooks:  # type: ignore[call-arg]
        assert hooks == []
    assert list(tmp_path.iterdir()) == []


def test_a_state_that_memory_cannot_hold_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every copy that the run would need; not where nothing is saved."""
    monkeypatch.setattr("ioprof.runner.checkpoints.memory_limit_bytes", lambda: 100 << 20)
    fitting = CheckpointSection.model_validate({"every": 1, "size": "40MiB", "mode": "background"})
    check_memory(fitting, is_local=True)
    check_memory(CheckpointSection.model_validate({"every": 0, "size": "1TiB"}), is_local=True)
    with pytest.raises(
        SpecError, match="one to put as an object, 120 MiB of memory is needed, and 100 MiB are available"
    ):
        check_memory(fitting, is_local=False)
    restoring = fitting.model_copy(update={"restore": True})
    with pytest.raises(SpecError, match=r"checkpoint.size = 40 MiB: .* one to restore into, 120 MiB"):
        check_memory(restoring, is_local=True)
