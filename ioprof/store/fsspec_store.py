"""Any fsspec URL as a store. The client is built lazily, once per process: many clients do not survive a fork."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import fsspec

from ioprof.errors import StoreError
from ioprof.store.base import Capacity, Entry
from ioprof.store.throttled_url import PREFIX as THROTTLED

if TYPE_CHECKING:
    from fsspec.spec import AbstractFileSystem


_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
_THROTTLE_KEYS = r"(?:preset|latency(?:\.[a-z]+)?|jitter|bandwidth|iops|seed)"
_PROTOCOLS = "file://, memory://, s3://, gs://, az:// and whatever else fsspec knows"


class FsspecStore:
    """A store behind an fsspec filesystem."""

    def __init__(self, url: str) -> None:
        """Root the store at ``url``.

        Raises:
            StoreError: fsspec does not know the protocol, or its package is missing.
        """
        self.url = url.rstrip("/") if not url.endswith("://") else url
        self.local_root: str | None = None
        self._client: AbstractFileSystem | None = None
        self._client_pid = -1
        self._root = ""
        self._connect()

    def __getstate__(self) -> dict[str, str]:
        """Only the URL travels to another process; the client is built there."""
        return {"url": self.url}

    def __setstate__(self, state: dict[str, str]) -> None:
        self.url = state["url"]
        self.local_root = None
        self._client = None
        self._client_pid = -1
        self._root = ""

    def _connect(self) -> AbstractFileSystem:
        if self._client is not None and self._client_pid == os.getpid():
            return self._client
        try:
            client, root = fsspec.core.url_to_fs(self.url, use_listings_cache=False, skip_instance_cache=False)
        except ImportError as error:
            raise StoreError(_line(f"{self.url}: {error}; {_install(self.url)}")) from error
        except ValueError as error:
            if without_credentials(self.url) != self.url:  # the error may quote a part of the secret
                advice = "in user and password, write / as %2F and @ as %40"
                raise StoreError(f"{without_credentials(self.url)}: not understood as a URL; {advice}") from None
            raise StoreError(_line(f"{self.url}: {error}; known: a path, {_PROTOCOLS}")) from error
        except Exception as error:
            # Some clients connect when they are made, and fail by types of their own.
            raise StoreError(_line(f"{self.url}: cannot be opened: {type(error).__name__}: {error}")) from error
        self._client, self._root, self._client_pid = client, str(root).rstrip("/"), os.getpid()
        return client

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root or "/"

    @contextmanager
    def _client_for(self, path: str) -> Iterator[AbstractFileSystem]:
        """Lend the client for one operation: to callers a store fails by OSError, whatever types its client raises.

        Raises:
            OSError: the operation failed.
            StoreError: there is no client to be had in this process.
        """
        client = self._connect()
        try:
            yield client
        except OSError:
            raise
        except Exception as error:
            raise OSError(_line(f"{path}: {type(error).__name__}: {error}")) from error

    def list(self, path: str = "") -> list[Entry]:
        """Return the entries of a directory or key prefix."""
        with self._client_for(path) as client:
            return [
                Entry(
                    name=str(item["name"]).rstrip("/").rpartition("/")[2],
                    is_dir=item["type"] == "directory",
                    size_bytes=item.get("size"),
                )
                for item in client.ls(self._full(path), detail=True)
            ]

    def stat(self, path: str) -> Entry:
        """Return what is known of one name."""
        with self._client_for(path) as client:
            item = client.info(self._full(path))
            return Entry(name=path.rpartition("/")[2], is_dir=item["type"] == "directory", size_bytes=item.get("size"))

    def read(self, path: str, size_bytes: int | None = None) -> bytes:
        """Return the whole object; the size is not needed."""
        with self._client_for(path) as client:
            return bytes(client.cat_file(self._full(path)))

    def read_range(self, path: str, offset: int, size_bytes: int) -> bytes:
        """Return the bytes of an object from ``offset`` on; fewer than ``size_bytes`` where it ends before."""
        with self._client_for(path) as client:
            return bytes(client.cat_file(self._full(path), start=offset, end=offset + size_bytes))

    def write(self, path: str, content: bytes | bytearray | memoryview, *, sync: bool = False) -> None:
        """Create or replace an object. A put is durable when it returns, so ``sync`` adds nothing."""
        with self._client_for(path) as client:
            client.pipe_file(self._full(path), bytes(content))

    def make_dir(self, path: str) -> None:
        """Create a directory and its parents where the store has directories."""
        with self._client_for(path) as client:
            client.makedirs(self._full(path), exist_ok=True)

    def rename(self, old: str, new: str) -> None:
        """Move one object; on object stores this is a copy and a delete."""
        with self._client_for(old) as client:
            client.mv(self._full(old), self._full(new))

    def unlink(self, path: str) -> None:
        """Remove one object."""
        with self._client_for(path) as client:
            client.rm_file(self._full(path))

    def remove_dir(self, path: str) -> None:
        """Remove an empty directory where the store has directories."""
        with self._client_for(path) as client:
            if client.isdir(self._full(path)):
                client.rmdir(self._full(path))

    def capacity(self) -> Capacity:
        """Return unknown: fsspec has no call for it."""
        return Capacity(free_bytes=None, free_inodes=None, total_bytes=None)

    def at(self, path: str) -> FsspecStore:
        """Return the same store rooted at a prefix below."""
        return FsspecStore(f"{self.url.rstrip('/')}/{path}" if not self.url.endswith("://") else self.url + path)


def without_credentials(url: str) -> str:
    """Return the URL, or a text that holds one, without user, password and query values: fit for logs.

    Secrets hold ``/`` and ``@``, so everything up to the last ``@`` goes, even if that costs a part of a path. What a
    throttled store is made like is no secret.
    """
    stripped = re.sub(r"(?<=://)[^?#\s]*@", "", url)
    open_keys = rf"(?!{_THROTTLE_KEYS}=)" if THROTTLED in url else ""
    return re.sub(rf"([?&]{open_keys}[^=&\s]+)=[^&\s]*", r"\1=...", stripped)


def _line(text: str) -> str:
    return without_credentials(" ".join(text.split()))


def _install(url: str) -> str:
    extra = _EXTRAS.get(url.partition("://")[0])
    return f"pip install 'ioprof[{extra}]'" if extra else "install the package that fsspec needs for it"
