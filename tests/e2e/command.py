"""A command of a test, started by a server that has imported torch already: a run costs what it does, not 3 s more."""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
IOPROF = "ioprof.cli.main"


@functools.cache
def _server() -> socket.socket:
    """Start this session's server; it ends when nobody holds the returned end any more."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        command = [sys.executable, "-m", "tests.e2e.command_server", str(theirs.fileno())]
        null = subprocess.DEVNULL
        subprocess.run(command, cwd=ROOT, pass_fds=[theirs.fileno()], stdin=null, stdout=null, check=True)
    atexit.register(ours.close)
    return ours


_running: list[Command] = []


def _holders(streams: set[int]) -> str:
    """Return who still holds the other ends of pipes, and what each of them waits for."""
    pipes = {os.fstat(stream).st_ino for stream in streams}
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if pipes & {os.stat(held).st_ino for held in folder.iterdir()}:
                words = (folder.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"{folder.parent.name}, {(folder.parent / 'wchan').read_text()}: {words}")
    return "\n".join(found)


def end_commands() -> None:
    """Kill what was started and not waited for, and close what it was heard by."""
    for command in _running:
        if command.poll() is None:
            command.kill()
            command.wait(60)
        command.close()
    _running.clear()


class Command:
    """``python -m MODULE WORDS...`` in a session of its own; offers what tests use of `subprocess.Popen`."""

    def __init__(self, words: Sequence[str], *, cwd: Path, environment: dict[str, str], module: str = IOPROF) -> None:
        """Start it."""
        self._words = [module, *words]
        request = {"module": module, "words": list(words), "cwd": str(cwd), "environment": environment}
        self._told, tell = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._out, out = os.pipe()
        self._err, err = os.pipe()
        with tell:
            socket.send_fds(_server(), [json.dumps(request).encode()], [out, err, tell.fileno()])
        os.close(out)
        os.close(err)
        self._streams = [self._out, self._err]
        self.returncode: int | None = None
        """Exit code, or minus the signal that ended it; None before `poll` or `wait` has seen its end."""
        self.pid = self._next_told()
        _running.append(self)

    def _next_told(self) -> int:
        message = self._told.recv(20)
        if not message:
            raise AssertionError("the server that starts commands is gone")
        return int(message)

    def poll(self) -> int | None:
        """Return how it ended, None where it has not."""
        if self.returncode is None and select.select([self._told], [], [], 0)[0]:
            self.wait()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: it goes on.
        """
        if self.returncode is None:
            if not select.select([self._told], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self._words, timeout or 0)
            self.returncode = self._next_told()
            self._told.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read stdout and stderr to their ends and wait.

        Raises:
            subprocess.TimeoutExpired: it goes on, or what it started holds the streams open.
        """
        deadline_s = time.monotonic() + timeout if timeout is not None else float("inf")
        read = {self._out: bytearray(), self._err: bytearray()}
        reading = set(read)
        while reading:
            left_s = None if timeout is None else max(0.0, deadline_s - time.monotonic())
            ready = select.select(reading, [], [], left_s)[0]
            if not ready:
                raise subprocess.TimeoutExpired(self._words, timeout or 0, stderr=_holders(reading))
            for stream in ready:
                piece = os.read(stream, 1 << 16)
                read[stream] += piece
                if not piece:
                    reading.remove(stream)
        self.close()
        self.wait(None if timeout is None else max(0.0, deadline_s - time.monotonic()))
        return read[self._out].decode(), read[self._err].decode()

    def close(self) -> None:
        """Close its streams; harmless where they are closed."""
        for stream in self._streams:
            os.close(stream)
        self._streams = []

    def send_signal(self, signum: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, signum)

    def kill(self) -> None:
        """End it at once."""
        self.send_signal(signal.SIGKILL)
