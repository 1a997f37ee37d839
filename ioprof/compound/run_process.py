"""The parent's side of a run in a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from multiprocessing.connection import Connection
from typing import cast

from ioprof.closing import ClosesAtExit
from ioprof.compound.messages import Ended, FromRun, Go, Held, Measuring, Order, StepsEnded

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from ioprof.compound.child import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
CLOSING_S = 30.0
"""How long a run that was told to end may take to write its tables."""
_STARTING_S = 15.0
"""How long to wait with that while its workers start: a signal that strikes inside a fork is lost to Python."""
_AGAIN_S = 5.0
"""After this time without an answer the signal is sent again, unless the run is closing already."""


class RunProcess(ClosesAtExit):
    """A run that is being recorded by a child; leaving the context ends it."""

    def __init__(self, order: Order) -> None:
        """Start it."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _BOOT, str(theirs.fileno()), str(os.getpid()), json.dumps(sys.path)],
                stdin=subprocess.DEVNULL,
                # What a library prints belongs to no result.
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                # Ctrl-C in a terminal reaches the parent alone, which passes it on once.
                process_group=0,
            )
        self.connection = Connection(ours.detach())
        """To wait on; `receive` reads it."""
        self.ended: Ended | None = None
        self._starting = self._closing = False
        self._signum: int = signal.SIGTERM
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(order)

    def receive(self) -> FromRun:
        """Return the next message, waiting for it; the last one is `Ended`, also where the process died."""
        try:
            message = cast("FromRun", self.connection.recv())
        except (EOFError, OSError):
            # Between two messages, or within one: then it is a plain OSError.
            message = self._death()
        return self._noted(message)

    def _noted(self, message: FromRun) -> FromRun:
        match message:
            case Measuring():
                self._starting = True
            case Held():
                self._starting = False
            case StepsEnded():
                self._starting, self._closing = False, True
            case Ended():
                self._starting, self.ended = False, message
        return message

    def let_go(self) -> None:
        """Let its first batch through."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(Go())

    def ask_to_end(self, signum: int = signal.SIGTERM) -> None:
        """Signal it; it closes its run directory and then ends."""
        deadline_s = time.monotonic() + _STARTING_S
        while self._starting and self.connection.poll(max(0.0, deadline_s - time.monotonic())):
            self.receive()
        self._signum = signum
        self._signal()

    def wait_for_end(self, timeout_s: float = CLOSING_S) -> Ended:
        """Read messages until it has ended; one that takes longer is killed, and its run reads all the same."""
        deadline_s = time.monotonic() + timeout_s
        while self.ended is None:
            if self.connection.poll(min(_AGAIN_S, max(0.0, deadline_s - time.monotonic()))):
                self.receive()
            elif time.monotonic() >= deadline_s:
                self._end_by_force()
            elif not self._closing:
                self._signal()
        return self.ended

    def _end_by_force(self) -> None:
        """Kill it and read what it had told; its workers may hold the connection open, so no end is waited for."""
        self._process.kill()
        self._process.wait()
        while self.ended is None and self.connection.poll():
            self.receive()
        if self.ended is None:
            self._noted(self._death())

    def _signal(self) -> None:
        if self._process.poll() is None:
            self._process.send_signal(self._signum)

    def close(self) -> None:
        """End the process and wait until it is gone; safe to call twice."""
        if self.ended is None:
            self._process.kill()
        try:
            self._process.wait(CLOSING_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self.connection.close()

    def _death(self) -> Ended:
        code = self._process.wait()
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return Ended(None, f"its process {how}; what it had measured is kept", 1)
