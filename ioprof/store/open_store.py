"""From what the user typed to a store."""

from __future__ import annotations

from ioprof.errors import SpecError, StoreError
from ioprof.store.base import Store
from ioprof.store.local import LocalStore
from ioprof.store.throttle import parse_throttle
from ioprof.store.throttled import ThrottledStore
from ioprof.store.throttled_url import PREFIX, split_url


def open_store(url: str) -> Store:
    """Return the store for a path or an fsspec URL; nothing is created or touched.

    Plain paths and ``local:`` stay on os calls; ``file://`` goes through fsspec like any other URL, so that
    the two can be compared. ``throttle+`` before either, and parameters after it, make a throttled store of it.

    Raises:
        StoreError: the URL is empty, or its protocol is unknown or lacks its package.
        SpecError: the parameters of a throttled store are wrong.
    """
    if not url.strip():
        raise StoreError("the store is empty: give a path or a URL, such as --store /mnt/data")
    if "\x00" in url:
        raise StoreError(f"{url!r} is not a path: it holds a zero byte")
    if not url.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in url):
        # Bytes that are no UTF-8 arrive as halves of pairs, which no report and no JSON can hold.
        raise StoreError(f"{url!r}: not a path in UTF-8; give the directory another name, or a link to it")
    if url.startswith(PREFIX):
        return _throttled(url)
    if "://" not in url:
        return LocalStore(url.removeprefix("local:"))
    # Imported here: plain paths, and `ioprof --help`, never pay for fsspec.
    from ioprof.store.fsspec_store import FsspecStore

    return FsspecStore(url)


def _throttled(url: str) -> ThrottledStore:
    below, parameters = split_url(url)
    if below.startswith(PREFIX):
        raise SpecError(f"store.url: {PREFIX} stands twice; write all parameters behind one ?")
    # A throttled local directory is read by os calls however it is written: only then can its page cache be emptied.
    return ThrottledStore(open_store(below.removeprefix("file://")), parse_throttle(parameters, "store.url"))
