"""What goes wrong on the user's side is told and goes on to the user; of what does on ours, it is warned once."""

from __future__ import annotations

import gc
import multiprocessing
import os
import resource
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from torch.utils.data import DataLoader

import ioprof
from ioprof.errors import CaveatWarning, RunError, SpecError
from ioprof.trace.reader import load_trace
from tests.watched_loaders import Dying, Numbers, plain, trace_of


def test_results_that_cannot_be_written_are_warned_of_once(tmp_path: Path) -> None:
    """The training gets all its batches; whoever asks for the report hears why there is none."""
    (tmp_path / "results").write_text("a file")
    with (
        pytest.warns(CaveatWarning, match="does not watch any more: .*results.*cannot write") as heard,
        ioprof.watch(DataLoader(Numbers(8), batch_size=4, num_workers=1), results=tmp_path / "results") as watched,
    ):
        for _ in range(2):
            assert [plain(batch)[0] for batch in watched] == [[0] * 3, [4] * 3]
    assert len(heard) == 1
    with pytest.raises(RunError, match=r"nothing was recorded: .*results"):
        watched.report()


def test_a_disk_that_fills_up_ends_the_recording_and_not_the_training(tmp_path: Path) -> None:
    """What was recorded until then is kept, and says why it ends."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with ioprof.watch(range(9000), results=tmp_path) as watched:
            batches = iter(watched)
            assert next(batches) == 0
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
            with pytest.warns(CaveatWarning, match="does not watch any more"):
                assert list(batches) == list(range(1, 9000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    trace = trace_of(watched)
    assert trace.steps.num_rows == 4096
    assert trace.run.outcome in ("failed", "interrupted")


# torch makes temporary files when a connection to a worker breaks, and tells of its death from a signal handler,
# which may strike just then: the file is left to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("on_main_thread", [True, False])
def test_a_killed_worker_is_the_users_error_and_is_named(on_main_thread: bool, tmp_path: Path) -> None:
    """The same error arrives as ever; the run that is left says which worker died, and of what."""
    loader = DataLoader(Dying(40, fails_at=9), batch_size=4, num_workers=1)
    errors: list[BaseException] = []
    directory: list[Path] = []

    def train() -> None:
        try:
            with ioprof.watch(loader, results=tmp_path) as watched:
                for _ in watched:
                    directory.append(watched.directory)
        except (RuntimeError, OSError, EOFError) as error:  # where the death strikes is chance
            errors.append(error)

    thread = threading.Thread(target=train)
    began_s = time.monotonic()
    if on_main_thread:
        train()
    else:
        thread.start()
        thread.join()
    assert time.monotonic() - began_s < 20
    assert errors
    run = load_trace(directory[0]).run
    assert run.outcome == "failed"
    assert run.reason is not None
    assert "worker 0 (pid " in run.reason
    assert "was ended by SIGKILL" in run.reason
    errors.clear()
    gc.collect()


def _train_and_vanish(results: Path) -> None:
    watched = ioprof.watch([1, 2, 3, 4], results=results)
    for batch in watched:
        if batch == 4:
            os._exit(3)


def test_a_program_that_vanishes_leaves_a_readable_run(tmp_path: Path) -> None:
    """After os._exit nothing of the program's end is heard of; what was recorded until then is there."""
    program = multiprocessing.get_context("fork").Process(target=_train_and_vanish, args=(tmp_path,))
    program.start()
    program.join()
    assert program.exitcode == 3
    trace = load_trace(next(tmp_path.iterdir()))
    assert trace.run.outcome == "interrupted"
    assert trace.steps.num_rows == 3
    assert trace.run.accelerator.busy_ns_per_batch is not None


def test_an_interruption_is_no_failure(tmp_path: Path) -> None:
    """Ctrl-C ends the loop as ever, and the run says that it was interrupted."""
    with pytest.raises(KeyboardInterrupt), ioprof.watch([1, 2], results=tmp_path) as watched:
        for _ in watched:
            raise KeyboardInterrupt
    assert trace_of(watched).run.outcome == "interrupted"


def test_a_copy_of_the_process_records_nothing(tmp_path: Path) -> None:
    """A forked child that goes on with the loop leaves its parent's recording alone."""
    with ioprof.watch([1, 2, 3], results=tmp_path) as watched:
        batches = iter(watched)
        assert next(batches) == 1
        child = os.fork()
        if child == 0:
            os._exit(0 if list(batches) == [2, 3] else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert list(batches) == [2, 3]
    assert trace_of(watched).steps.num_rows == 3


def test_mistakes_in_the_call_are_told_at_once(tmp_path: Path) -> None:
    """They are no matter of the watching: the program is told before its loop begins."""
    watch: Callable[..., object] = ioprof.watch
    with pytest.raises(TypeError, match="'int' object is not iterable"):
        watch(3)
    with pytest.raises(SpecError, match=r"warmup = 'some'"):
        watch([1], results=tmp_path, warmup="some")
    with pytest.raises(SpecError, match="device = 'tpu'"):
        watch([1], results=tmp_path, device="tpu")
    with pytest.raises(RunError, match="nothing was recorded: no batch was asked for"):
        ioprof.watch([1], results=tmp_path).report()
