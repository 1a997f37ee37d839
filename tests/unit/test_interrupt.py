"""When a signal ends a run, and when it has to wait."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from ioprof.checkpoint import folder as folders
from ioprof.checkpoint.folder import FolderPlan, checkpoint_folder
from ioprof.runner.interrupt import Interrupted, interruptible, shielded
from ioprof.store.local import LocalStore


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
