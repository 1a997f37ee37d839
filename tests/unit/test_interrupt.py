"""When a signal ends a run, and when it has to wait."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from ioprof.checkpoint import folder as folders
from ioprof.checkpoint.folder import FolderPlan, checkpoint_folder
from ioprof.runner.interrupt import Interrupted, interruptible, shielded
from ioprof.store.local import LocalStore

_strikes: list[signal.Signals] = []
"""Signals that come while the hooks around the next fork run: hooks cannot be taken away again."""


def _strike() -> None:
    if _strikes:
        os.kill(os.getpid(), _strikes.pop())


os.register_at_fork(after_in_parent=_strike)


@pytest.fixture
def other_thread() -> Iterator[None]:
    """Keep a second thread alive that takes signals, as torch's and the saver's are."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    yield
    end.set()
    thread.join()


@pytest.mark.usefixtures("other_thread")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_shielded_block_ends_before_the_signal_is_raised(signum: signal.Signals) -> None:
    """Also beside another thread, whom the kernel may give the signal to; the exit code stays the shell's."""
    done = []
    with pytest.raises(Interrupted) as caught, interruptible(), shielded():
        with shielded():
            os.kill(os.getpid(), signum)
            done += [str(number) for number in range(1000)]
        done.append("the inner block ended")
    assert done[-1] == "the inner block ended"
    assert caught.value.exit_code == 128 + signum


def test_what_was_held_is_raised_once() -> None:
    """The first of several signals; a block after it is not ended by it again."""
    with interruptible():
        with pytest.raises(Interrupted) as caught, shielded():
            os.kill(os.getpid(), signal.SIGTERM)
            os.kill(os.getpid(), signal.SIGINT)
        assert caught.value.signal_name in ("SIGTERM", "SIGINT")
        with shielded():
            pass
        with pytest.raises(Interrupted, match="2"):
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("other_thread")
def test_the_checkpoints_folder_is_removed_whole_though_a_signal_comes(
    tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a removal broken off would leave, nobody asked to keep."""
    whole = folders.remove

    def hit(found: folders.FoundDataset) -> object:
        os.kill(os.getpid(), signal.SIGINT)
        return whole(found)

    monkeypatch.setattr(folders, "remove", hit)
    plan = FolderPlan(name="checkpoints-test", save_bytes=1, shards=1, keep=1, seed=1)
    with pytest.raises(Interrupted), interruptible(), checkpoint_folder(
        LocalStore(str(tmp_path)), plan, keep_files=False
    ):  # fmt: skip
        pass
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_that_comes_while_a_worker_is_forked_is_not_lost(
    signum: signal.Signals, capfd: pytest.CaptureFixture[str]
) -> None:
    """Python drops what is raised in the hooks around a fork; the run ends all the same, and nothing is printed."""
    with pytest.raises(Interrupted) as caught, interruptible():
        _strikes.append(signum)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        time.sleep(30)
    assert caught.value.signum == signum
    assert capfd.readouterr().err == ""


class _Struck:
    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_that_comes_in_a_destructor_is_not_lost() -> None:
    """Nor where the garbage collector has the word; what others raise there is shown as ever."""
    shown = []
    before, sys.unraisablehook = sys.unraisablehook, shown.append
    try:
        with pytest.raises(Interrupted), interruptible():
            struck = _Struck()
            del struck
            time.sleep(30)
        assert sys.unraisablehook == shown.append
    finally:
        sys.unraisablehook = before
    assert shown == []


def test_a_forked_process_leaves_ctrl_c_to_its_parent_and_ends_at_sigterm() -> None:
    """From its first step on: what it has inherited would raise in the middle of its start."""
    with interruptible():
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGTERM
