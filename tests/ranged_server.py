"""An HTTP server of ranges of made-up objects, and file systems of fsspec's that read from it."""

from __future__ import annotations

import asyncio
import http.client
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from fsspec.asyn import AsyncFileSystem
from fsspec.spec import AbstractBufferedFile, AbstractFileSystem

OBJECT_BYTES = 50_000


def content(start: int, end: int) -> bytes:
    """Return part of an object; all are the same."""
    return bytes(number % 251 for number in range(start, min(end, OBJECT_BYTES)))


class _Ranges(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path.endswith("missing"):
            self.send_error(404)
            return
        first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
        body = content(int(first), int(last) + 1)
        self.send_response(206)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[int]:
    """Serve; the value is the port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Ranges) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def _fetched(port: int, path: str, start: int | None, end: int | None) -> bytes:
    first, last = start or 0, (OBJECT_BYTES if end is None else end) - 1
    with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
        connection.request("GET", f"/{path}", headers={"Range": f"bytes={first}-{last}"})
        response = connection.getresponse()
        body = response.read()
    if response.status != 206:
        raise FileNotFoundError(2, "no such object", path)
    return body


class RangedFile(AbstractBufferedFile):
    """Fetches what is read in blocks."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return _fetched(self.fs.port, self.path, start, end)


class LeadingFile(AbstractBufferedFile):
    """The same, by the file system's ``cat_file``."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return self.fs.cat_file(self.path, start=start, end=end)


class RangedObjects(AbstractFileSystem):
    """A synchronous file system of such objects."""

    protocol = "ranged"
    cachable = False
    file_class: ClassVar[type[AbstractBufferedFile]] = RangedFile

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def info(self, path: str, **_: object) -> dict[str, object]:
        """All are files of the same size."""
        return {"name": path, "size": OBJECT_BYTES, "type": "file"}

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        """Fetch a range in one request."""
        return _fetched(self.port, path, start, end)

    def _open(self, path: str, mode: str = "rb", **named: object) -> AbstractBufferedFile:
        return self.file_class(self, path, mode, **named)


class LeadingObjects(RangedObjects):
    """Its files read by ``cat_file``."""

    protocol = "leading"
    file_class = LeadingFile


class AsyncObjects(AsyncFileSystem):
    """An asynchronous one."""

    protocol = "async-ranged"
    cachable = False

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        return await asyncio.to_thread(_fetched, self.port, path, start, end)
