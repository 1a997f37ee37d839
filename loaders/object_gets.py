"""Whole objects fetched through fsspec, several requests at a time in each worker."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from ioprof.clock import now_ns
from ioprof.contract import SampleBytes, StoredSamples
from ioprof.store.tap import Tap
from ioprof.trace.kinds import UNNAMED_ERROR, error_code

if TYPE_CHECKING:
    from fsspec.asyn import AsyncFileSystem
    from fsspec.spec import AbstractFileSystem


class _Got(NamedTuple):
    """What came of one request."""

    start_ns: int
    end_ns: int
    content: bytes
    error: int
    """0, or its code of `ioprof.trace.kinds`."""


class ObjectGets:
    """Fetches each sample as a whole object, ``in_flight`` at a time; picklable."""

    def __init__(self, stored: StoredSamples, in_flight: int) -> None:
        """Say what is fetched, and how many requests may be under way in one worker."""
        self._stored = stored
        self._in_flight = in_flight
        self._client: AbstractFileSystem | None = None
        self._pid = -1
        self._threads: ThreadPoolExecutor | None = None

    def __reduce__(self) -> tuple[type[ObjectGets], tuple[StoredSamples, int]]:
        # Clients stay where they are made: many do not survive a fork, and none is pickled.
        return ObjectGets, (self._stored, self._in_flight)

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[SampleBytes]:
        """Return each sample's bytes, decoded; objects that could not be fetched are left out, and counted."""
        stored = self._stored
        names = [stored.full_path(tap.store, sample) for sample in samples]
        sizes_bytes = stored.sizes.of(samples)
        contents: list[SampleBytes] = []
        for got, size_bytes, sample in zip(self._all(names), sizes_bytes, samples, strict=True):
            if tap.note_get(sample, got.start_ns, got.end_ns, len(got.content), size_bytes, got.error):
                content: SampleBytes = got.content
                contents.append(content if stored.decode is None else tap.decode(stored.decode, content, sample))
        return contents

    def _all(self, names: Sequence[str]) -> Sequence[_Got]:
        client = self._connected(names[0])
        paths = [str(client._strip_protocol(name)) for name in names]
        if client.async_impl:
            from fsspec.asyn import sync

            found: list[_Got] = sync(client.loop, self._gather, client, paths)
            return found
        if self._threads is None:
            self._threads = ThreadPoolExecutor(self._in_flight, thread_name_prefix="ioprof-get")
        return list(self._threads.map(lambda path: _cat(client, path), paths))

    async def _gather(self, client: AsyncFileSystem, paths: Sequence[str]) -> list[_Got]:
        room = asyncio.Semaphore(self._in_flight)

        async def one(path: str) -> _Got:
            async with room:
                start_ns = now_ns()
                try:
                    content, error = bytes(await client._cat_file(path)), 0
                except OSError as failure:
                    content, error = b"", error_code(failure)
                except Exception:  # noqa: BLE001 - clients raise types of their own; the request has failed
                    content, error = b"", UNNAMED_ERROR
                return _Got(start_ns, now_ns(), content, error)

        return list(await asyncio.gather(*map(one, paths)))

    def _connected(self, name: str) -> AbstractFileSystem:
        """Return this process's own client."""
        if self._client is None or self._pid != os.getpid():
            import fsspec

            self._client, _ = fsspec.core.url_to_fs(name, use_listings_cache=False, skip_instance_cache=True)
            self._pid, self._threads = os.getpid(), None
        return self._client


def _cat(client: AbstractFileSystem, path: str) -> _Got:
    """Fetch one object by a client that does one thing at a time."""
    start_ns = now_ns()
    try:
        content, error = bytes(client.cat_file(path)), 0
    except OSError as failure:
        content, error = b"", error_code(failure)
    except Exception:  # noqa: BLE001 - clients raise types of their own; the request has failed
        content, error = b"", UNNAMED_ERROR
    return _Got(start_ns, now_ns(), content, error)
