"""Any fsspec URL as a store. The client is built lazily, once per process: many clients do not survive a fork."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import fsspec

from ioprof.errors import StoreError
from ioprof.store.base import Capacity, Entry

if TYPE_CHECKING:
    from fsspec.spec import AbstractFileSystem


_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "az": "azure", "abfs": "azure", "abfss": "azure"}
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
            raise StoreError(f"{without_credentials(self.url)}: {error}; {_install(self.url)}") from error
        except ValueError as error:
            raise StoreError(f"{without_credentials(self.url)}: {error}; known: a path, {_PROTOCOLS}") from error
        self._client, self._root, self._client_pid = client, str(root).rstrip("/"), os.getpid()
        return client

    def _full(self, path: str) -> str:
        return f"{self._root}/{path}" if path else self._root or "/"

    def list(self, path: str = "") -> list[Entry]:
        """Return the entries of a directory or key prefix."""
        found = self._connect().ls(self._full(path), detail=True)
        return [
            Entry(
                name=str(item["name"]).rstrip("/").rpartition("/")[2],
                is_dir=item["type"] == "directory",
                size_bytes=item.get("size"),
            )
            for item in found
        ]

    def stat(self, path: str) -> Entry:
        """Return what is known of one name."""
        item = self._connect().info(self._full(path))
        return Entry(name=path.rpartition("/")[2], is_dir=item["type"] == "directory", size_bytes=item.get("size"))

    def read(self, path: str, size_bytes: int | None = None) -> bytes:
        """Return the whole object; the size is not needed."""
        client = self._connect()
        try:
            return bytes(client.cat_file(self._full(path)))
        except OSError:
            raise
        except Exception as error:
            # Some clients raise types of their own (botocore, aiohttp); to callers a store fails by OSError.
            raise OSError(f"{path}: {type(error).__name__}: {error}") from error

    def write(self, path: str, content: bytes | bytearray | memoryview, *, sync: bool = False) -> None:
        """Create or replace an object. A put is durable when it returns, so ``sync`` adds nothing."""
        self._connect().pipe_file(self._full(path), bytes(content))

    def make_dir(self, path: str) -> None:
        """Create a directory and its parents where the store has directories."""
        self._connect().makedirs(self._full(path), exist_ok=True)

    def rename(self, old: str, new: str) -> None:
        """Move one object; on object stores this is a copy and a delete."""
        self._connect().mv(self._full(old), self._full(new))

    def unlink(self, path: str) -> None:
        """Remove one object."""
        self._connect().rm_file(self._full(path))

    def remove_dir(self, path: str) -> None:
        """Remove an empty directory where the store has directories."""
        client = self._connect()
        if client.isdir(self._full(path)):
            client.rmdir(self._full(path))

    def capacity(self) -> Capacity:
        """Return unknown: fsspec has no call for it."""
        return Capacity(free_bytes=None, free_inodes=None, total_bytes=None)

    def at(self, path: str) -> FsspecStore:
        """Return the same store rooted at a prefix below."""
        return FsspecStore(f"{self.url.rstrip('/')}/{path}" if not self.url.endswith("://") else self.url + path)


def without_credentials(url: str) -> str:
    """Return the URL with user, password and query values removed, fit for logs and run directories."""
    stripped = re.sub(r"(?<=://)[^/@]*@", "", url)
    return re.sub(r"([?&][^=&]+)=[^&]*", r"\1=...", stripped)


def _install(url: str) -> str:
    extra = _EXTRAS.get(url.partition("://")[0])
    return f"pip install 'ioprof[{extra}]'" if extra else "install the package that fsspec needs for it"
