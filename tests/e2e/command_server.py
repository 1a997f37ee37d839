"""Starts commands of tests by forking itself, with the slow imports done: a run need not import torch once more.

``python -m tests.e2e.command_server DESCRIPTOR`` serves the requests of a socket from the background until nobody holds
its other end. Each becomes a process that is in every other way what ``python -m MODULE WORDS...`` would be in a
session of its own: a new interpreter's signal handlers, descriptors, working directory, environment and main module.
tests/e2e/test_command_server.py compares the two.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import json
import multiprocessing.process
import os
import runpy
import select
import signal
import socket
import sys
import tempfile
import threading
import warnings
from dataclasses import dataclass
from typing import NoReturn

MODULES = (
    "torch.utils.data", "ioprof.api", "ioprof.cli.run", "ioprof.cli.suite", "ioprof.cli.mixed",
    "ioprof.loaders.torch_map_session", "ioprof.loaders.torch_iterable_session", "ioprof.loaders.processes_session",
    "ioprof.checkpoint.state", "typer.rich_utils", "pyarrow.parquet",
)  # fmt: skip
"""What is imported once instead of by each command; never the commands' own main module."""


@dataclass(frozen=True, slots=True)
class Request:
    """A command to become."""

    module: str
    words: list[str]
    cwd: str
    environment: dict[str, str]


class _Server:
    """Forks for each request and tells how each process ended."""

    def __init__(self, requests: socket.socket) -> None:
        self._requests = requests
        self._running: dict[int, tuple[int, int]] = {}
        """Process and the descriptor on which to tell its end, by process descriptor."""

    def next_command(self) -> Request | None:
        """Return once in each process that is to become a command, and with None where there are no more."""
        while True:
            # Not epoll, whose own descriptor would reach the commands.
            poll = select.poll()
            for descriptor in (self._requests.fileno(), *self._running):
                poll.register(descriptor, select.POLLIN)
            for ready, _ in poll.poll():
                if ready != self._requests.fileno():
                    self._tell_end(ready)
                    continue
                message, descriptors, _, _ = socket.recv_fds(self._requests, 1 << 20, 3)
                if not message:
                    return None
                if self._forked(*descriptors):
                    return Request(**json.loads(message))

    def _forked(self, stdout: int, stderr: int, told: int) -> bool:
        """Fork; return True in the child, which holds nothing open but its three standard streams."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Python 3.12 warns of threads, which numpy's algebra ends before forks
            child = os.fork()
        if child == 0:
            os.setsid()
            os.dup2(stdout, 1)
            os.dup2(stderr, 2)
            os.write(told, str(os.getpid()).encode())
            self._requests.close()
            os.closerange(3, 1 << 16)
            return True
        os.close(stdout)
        os.close(stderr)
        self._running[os.pidfd_open(child)] = (child, told)
        return False

    def _tell_end(self, ended: int) -> None:
        child, told = self._running.pop(ended)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(BrokenPipeError):
            os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
        os.close(ended)
        os.close(told)

    def kill_all(self) -> None:
        """End the commands whose tests are gone; what they started ends by itself and frees its shared memory."""
        for child, _ in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


def _become(command: Request) -> None:
    """Put this process into the state of one that was started for the command."""
    os.chdir(command.cwd)
    os.environ.clear()
    os.environ.update(command.environment)
    sys.path[0] = command.cwd
    sys.argv[1:] = command.words
    sys.orig_argv[1:] = ["-m", command.module, *command.words]
    # Remembered since the imports.
    tempfile.tempdir = None
    multiprocessing.process.ORIGINAL_DIR = command.cwd


def main() -> None:
    """Serve, and in each process forked run the command and end as it does."""
    requests = socket.socket(fileno=int(sys.argv[1]))
    if os.fork():
        os._exit(0)
    os.setsid()
    for module in MODULES:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()  # otherwise each command's collections would copy all pages of all modules
    server = _Server(requests)
    command = server.next_command()
    if command is None:
        server.kill_all()
        return
    _become(command)
    try:
        runpy.run_module(command.module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            _exit(end.code or 0)
        raise
    _exit(0)


def _exit(code: int) -> NoReturn:
    """End as the interpreter does, except for taking all modules apart, which would copy every page of them."""
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return  # the interpreter itself tells of it
    os._exit(code)


if __name__ == "__main__":
    main()
