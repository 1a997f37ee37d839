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
from types import TracebackType
from typing import Self, cast

from ioprof.compound.messages import Ended, FromRun, Go, Order

_BOOT = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[3]); "
    "from ioprof.compound.child import main; main(int(sys.argv[1]), int(sys.argv[2]))"
)
CLOSING_S = 30.0
"""How long a run that was told to end may take to write its tables."""


class RunProcess:
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
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(order)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def receive(self) -> FromRun:
        """Return the next message, waiting for it; the last one is `Ended`, also where the process died."""
        try:
            message = cast("FromRun", self.connection.recv())
        except (EOFError, ConnectionResetError):
            message = self._death()
        if isinstance(message, Ended):
            self.ended = message
        return message

    def let_go(self) -> None:
        """Let its first batch through."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(Go())

    def ask_to_end(self, signum: int = signal.SIGTERM) -> None:
        """Signal it; it closes its run directory and then ends."""
        if self._process.poll() is None:
            self._process.send_signal(signum)

    def wait_for_end(self, timeout_s: float = CLOSING_S) -> Ended:
        """Read messages until it has ended; one that takes longer is killed, and its run reads all the same."""
        deadline_s = time.monotonic() + timeout_s
        while self.ended is None:
            if not self.connection.poll(max(0.0, deadline_s - time.monotonic())):
                self._process.kill()
                deadline_s += timeout_s
            self.receive()
        return self.ended

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
