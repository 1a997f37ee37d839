"""Answers Prometheus from the process of the live view: one request at a time, nothing but GET."""

from __future__ import annotations

import socket
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from ioprof.cli.metrics_target import replace_file
from ioprof.clock import now_ns
from ioprof.report.metrics import CONTENT_TYPE_LATEST, metrics_text
from ioprof.trace.follow import Follower

_WRITE_NS = 5_000_000_000


class MetricsFile:
    """A file for node_exporter's textfile collector and the like, written every five seconds.

    Attributes:
        failure: why it could not be written; None: it was.
    """

    def __init__(self, path: Path, follower: Follower) -> None:
        """Begin."""
        self._path = path
        self._follower = follower
        self._due_ns = 0
        self.failure: str | None = None

    def waits_on(self) -> list[socket.socket]:
        """Return nothing: it is not asked."""
        return []

    def tick(self) -> None:
        """Write it if it is time."""
        if now_ns() >= self._due_ns:
            self._due_ns = now_ns() + _WRITE_NS
            self._write(is_active=True)

    def close(self) -> None:
        """Write it a last time: the run is over."""
        self._write(is_active=False)

    def _write(self, *, is_active: bool) -> None:
        try:
            replace_file(self._path, metrics_text(self._follower, is_active=is_active))
            self.failure = None
        except (OSError, ValueError) as error:
            self.failure = f"{self._path}: {error}"


class MetricsPort:
    """A port that is asked."""

    failure: str | None = None

    def __init__(self, bound: socket.socket, follower: Follower) -> None:
        """Listen on a port that is bound."""
        handler = partial(_Handler, lambda: metrics_text(follower, is_active=True))
        self._server = HTTPServer(("", 0), handler, bind_and_activate=False)
        self._server.socket.close()
        self._server.socket = bound
        self._server.server_activate()
        self._server.timeout = 0

    def waits_on(self) -> list[socket.socket]:
        """Return what becomes readable when somebody asks."""
        return [self._server.socket]

    def tick(self) -> None:
        """Answer one who asks, if any does."""
        self._server.handle_request()

    def close(self) -> None:
        """Stop listening, also for whoever inherited the socket."""
        self._server.socket.shutdown(socket.SHUT_RDWR)
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    timeout = 1.0
    """Whoever asks and then says nothing holds up the others for so long."""

    def __init__(self, text: Callable[[], bytes], *arguments: object) -> None:
        self._text = text
        super().__init__(*arguments)  # type: ignore[arg-type]

    def do_GET(self) -> None:
        """Answer with the run as it is now."""
        if self.path.split("?")[0] not in ("/metrics", "/"):
            self.send_error(404, "ask for /metrics")
            return
        try:
            text = self._text()
        except (OSError, ValueError) as error:
            self.send_error(503, str(error).splitlines()[0])
            return
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing: the terminal belongs to the view."""
