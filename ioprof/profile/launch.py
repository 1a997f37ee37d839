"""Runs a program as if its user had started it, with every Python interpreter below it told to watch its loaders."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ioprof.errors import UsageError
from ioprof.profile import site
from ioprof.profile.session import VARIABLE, ProfileSession

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_FROM_A_PROCESS = 0
"""``si_code`` of a signal that ``kill`` sent; those of a terminal reach the program by themselves."""

_LOOK_AGAIN_S = 0.2
"""Where a library has started threads in this process, the kernel may tell one of those that the program has ended."""


def program_words(words: Sequence[str]) -> list[str]:
    """Return the program to start: a script is given to this very interpreter.

    Raises:
        UsageError: there is none, or it is nowhere to be found.
    """
    if not words:
        raise UsageError("no program: give the command of your training, as in: ioprof profile -- python train.py")
    if words[0].endswith(".py"):
        words = [sys.executable, *words]
        script = Path(words[1])
        if not script.is_file():
            raise UsageError(f"{script}: no such script")
    if shutil.which(words[0]) is None:
        raise UsageError(f"{words[0]}: no such program (or not executable)")
    return list(words)


def watching_environment(session: ProfileSession, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which interpreters watch: they find ``ioprof/profile/site`` before anything else."""
    folder = str(Path(site.__file__).parent)
    path = os.pathsep.join([folder, *filter(None, [environment.get("PYTHONPATH")])])
    return {**environment, VARIABLE: str(session.folder), "PYTHONPATH": path}


def run_program(words: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a program to its end and return its exit code; 128 + N where signal N ended it.

    It shares the terminal. What `kill` sends to this process is passed on; Ctrl-C reaches both, and only the program
    decides what it means.

    To be called before libraries are imported that start threads: a signal that one of them gets ends this process.

    Raises:
        UsageError: it cannot be started.
    """
    with _held_signals():
        try:
            pid = os.posix_spawnp(words[0], list(words), environment, setsigmask=[])
        except OSError as error:
            raise UsageError(f"{words[0]}: cannot be started: {error.strerror}") from error
        while True:
            heard = signal.sigtimedwait({*_PASSED_ON, signal.SIGCHLD}, _LOOK_AGAIN_S)
            if heard is not None and heard.si_signo != signal.SIGCHLD and heard.si_code == _FROM_A_PROCESS:
                os.kill(pid, heard.si_signo)
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


@contextmanager
def _held_signals() -> Iterator[None]:
    """Have signals wait until they are asked for."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {*_PASSED_ON, signal.SIGCHLD})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
