"""Where ``--metrics`` goes: a file that is replaced again and again, or a port that Prometheus asks."""

from __future__ import annotations

import contextlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

from ioprof.errors import UsageError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricsTarget:
    """A place that was found usable."""

    path: Path | None
    """The file; None: a port."""
    bound: socket.socket | None
    """The port, bound, so that nobody else takes it; whoever serves it listens. None: a file."""

    @property
    def told(self) -> str:
        """What a reader is told of it."""
        if self.bound is None:
            return str(self.path)
        host, port = self.bound.getsockname()[:2]
        return f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"

    @property
    def word(self) -> str:
        """The same for the process that serves it."""
        return f"file:{self.path}" if self.bound is None else f"port:{self.bound.fileno()}"

    def close(self) -> None:
        """Let go of the port; safe to call twice."""
        if self.bound is not None:
            self.bound.close()


def metrics_target(text: str) -> MetricsTarget:
    """Return the place that ``FILE``, ``:PORT`` or ``HOST:PORT`` names, tried out.

    Raises:
        UsageError: the port is taken, or none, or the file cannot be written.
    """
    host, colon, port = text.rpartition(":")
    if colon and "/" not in text and (port.isdigit() or not host):
        return MetricsTarget(path=None, bound=_bound(text, host.strip("[]") or LOOPBACK, port))
    return MetricsTarget(path=_writable(Path(text)), bound=None)


def _bound(text: str, host: str, port: str) -> socket.socket:
    if not port.isdigit() or int(port) > 65535:
        raise UsageError(f"--metrics {text}: {port or 'nothing'} is no port; give 0 to 65535, such as :9464")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        found = socket.socket(family, kind, protocol)
        try:
            # A port that an earlier run has just left can be taken at once.
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(address)
        except OSError:
            found.close()
            raise
    except OSError as error:
        raise UsageError(
            f"--metrics {text}: cannot be served: {error.strerror or error}; give a free port of this host, or :0"
        ) from error
    return found


def _writable(path: Path) -> Path:
    fresh = path.with_name(f"{path.name}.new")
    try:
        if path.is_dir():
            raise IsADirectoryError(None, "it is a folder")
        os.close(os.open(fresh, os.O_CREAT | os.O_WRONLY, 0o644))
        fresh.unlink()
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(f"--metrics {path}: cannot be written: {told}; give a file in a folder of yours") from error
    return path.absolute()


def replace_file(path: Path, text: bytes) -> None:
    """Write a file anew in one step: a reader finds the old or the new one.

    Raises:
        OSError: it cannot be written; the old one stays.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.write_bytes(text)
        os.replace(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise
