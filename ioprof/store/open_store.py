"""From what the user typed to a store."""

from __future__ import annotations

from ioprof.errors import StoreError
from ioprof.store.base import Store
from ioprof.store.local import LocalStore


def open_store(url: str) -> Store:
    """Return the store for a path or an fsspec URL; nothing is created or touched.

    Plain paths and ``local:`` stay on os calls; ``file://`` goes through fsspec like any other URL, so that
    the two can be compared.

    Raises:
        StoreError: the URL is empty, or its protocol is unknown or lacks its package.
    """
    if not url.strip():
        raise StoreError("the store is empty: give a path or a URL, such as --store /mnt/data")
    if "\x00" in url:
        raise StoreError(f"{url!r} is not a path: it holds a zero byte")
    if "://" not in url:
        return LocalStore(url.removeprefix("local:"))
    # Imported here: plain paths, and `ioprof --help`, never pay for fsspec.
    from ioprof.store.fsspec_store import FsspecStore

    return FsspecStore(url)
