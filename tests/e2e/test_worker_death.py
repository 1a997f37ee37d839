"""A worker that is killed or fails ends the run with one line that says so; the run reads, and nothing is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.e2e.command import Command
from tests.e2e.driver import IOPROF, environment, leftovers, run_directories, start, steps_recorded, wait_for
from tests.shared_memory import segments, segments_left

DATASET = ["--files", "600", "--file-size", "4KiB", "--batch-size", "16"]
RUN = ["run", "small-files", *DATASET, "--duration", "120s", "--set", "run.warmup=0"]
WAITING = ["--compute", "1ms", "--decode", "20ms"]
COMPUTING = ["--compute", "400ms"]

# Runs the command of argv[2:] with a collate function that fails in the worker's third batch as argv[1] says, once the
# batches before it have gone out: what a process that ends at once had still to send is lost with it.
FAILING = """
import sys, time
from ioprof.cli.main import main
from ioprof.loaders import torch_map_session

seal, made = torch_map_session.collate, []

def collate(fetched):
    made.append(1)
    if len(made) == 3:
        time.sleep(1)
        exec(failure)
    return seal(fetched)

failure = sys.argv.pop(1)
torch_map_session.collate = collate
main()
"""


@pytest.fixture
def no_shared_memory_left() -> Iterator[None]:
    """Fail a test that leaves names in /dev/shm."""
    before = segments()
    yield
    assert not segments_left(before)


pytestmark = [pytest.mark.usefixtures("no_shared_memory_left"), pytest.mark.alone]


def workers(process: Command) -> list[psutil.Process]:
    """Return the forked workers of a run: they show its own command line."""
    command = psutil.Process(process.pid).cmdline()
    return [child for child in psutil.Process(process.pid).children() if child.cmdline() == command]


def check_partial_run(tmp_path: Path, *, least_steps: int) -> str:
    """Check that the run failed, reads, and left nothing; return why it ended."""
    (directory,) = run_directories(tmp_path / "results")
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["outcome"] == "failed"
    assert summary["steps"] >= least_steps
    assert not (directory / "trace").exists()
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)
    return str(summary["outcome_reason"])


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGBUS])
@pytest.mark.parametrize("pace", [WAITING, COMPUTING], ids=["waiting", "computing"])
def test_a_killed_worker_is_named_with_its_signal_and_the_usual_cause(
    tmp_path: Path, pace: list[str], signum: signal.Signals
) -> None:
    """Whether the consumer waits for it or computes: one line, exit code 1, and what was measured reads."""
    process = start(*RUN, *pace, cwd=tmp_path)
    wait_for(lambda: steps_recorded(tmp_path / "results") >= 4)
    victim = workers(process)[1]
    victim.send_signal(signum)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    message = err.splitlines()[-1]
    assert message.startswith(f"ioprof: error: worker 1 (pid {victim.pid}) was ended by {signum.name}; usually ")
    assert {signal.SIGKILL: "dmesg", signal.SIGBUS: "/dev/shm is full"}[signum] in message
    assert "Traceback" not in err
    assert check_partial_run(tmp_path, least_steps=3) == message.removeprefix("ioprof: error: ")


def test_workers_of_one_epoch_are_ended_before_the_run_is_closed(tmp_path: Path) -> None:
    """Torch forgets workers that are not kept between epochs when one of them dies; they must not go on writing."""
    process = start(*RUN, *COMPUTING, "--persistent", "false", cwd=tmp_path)
    wait_for(lambda: steps_recorded(tmp_path / "results") >= 4)
    workers(process)[0].kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1, err
    assert "worker 0" in check_partial_run(tmp_path, least_steps=3)


def test_a_signal_to_the_whole_group_is_an_interruption_though_workers_die_of_it(tmp_path: Path) -> None:
    """Job schedulers send SIGTERM to every process; what ended the run is the signal, not the workers."""
    process = start(*RUN, *COMPUTING, cwd=tmp_path)
    wait_for(lambda: steps_recorded(tmp_path / "results") >= 4)
    os.killpg(process.pid, signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert "Traceback" not in err
    (directory,) = run_directories(tmp_path / "results")
    assert json.loads((directory / "summary.json").read_text())["outcome"] == "interrupted"
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)


@pytest.mark.parametrize(
    ("failure", "told"),
    [
        ("raise ValueError('a broken transform')", "the loader failed: ValueError: a broken transform; "),
        (
            "raise OSError(28, 'No space left on device')",
            "the run stopped: OSError: [Errno 28] No space left on device",
        ),
        ("import os; os._exit(3)", "ended with exit code 3; what was measured is kept"),
    ],
)
def test_a_worker_that_fails_is_quoted_in_one_line(tmp_path: Path, failure: str, told: str) -> None:
    """Its own error, not torch's traceback around it, and never as if the results' disk had failed."""
    command = [sys.executable, "-c", FAILING, failure, *RUN, "--compute", "1ms"]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1, done.stderr
    message = done.stderr.splitlines()[-1]
    assert told in message
    assert "Traceback" not in done.stderr
    assert check_partial_run(tmp_path, least_steps=1) in message


@pytest.mark.root
def test_a_full_dev_shm_ends_the_run_instead_of_hanging_it(tmp_path: Path) -> None:
    """Containers have 64 MiB by default. Python drops what it cannot send, and the consumer would wait for ever."""
    tiny = 'mount -t tmpfs -o size=300k ioprof-test /dev/shm && exec "$@"'
    run = [*RUN, "--file-size", "16KiB", "--compute", "1ms"]
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", tiny, "sh", *IOPROF, *run],  # noqa: S607
        cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "/dev/shm is full" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    check_partial_run(tmp_path, least_steps=0)
