"""A store made slower on purpose: the truth about it is known, whatever lies below.

What ioprof measures goes through a tap, and every operation of that is throttled, reads and writes alike. What it does
for itself (preparing, verifying, evicting and removing datasets) goes to the store below at full speed.
"""

from __future__ import annotations

from ioprof.store.base import Capacity, Entry, Store
from ioprof.store.device_clock import DeviceClock, device_clock
from ioprof.store.pace import Pace
from ioprof.store.throttle import Throttle
from ioprof.store.throttled_url import PREFIX
from ioprof.trace.kinds import Kind

MAPPED_IS_UNTHROTTLED = "a throttled store has no mapped files: the kernel reads their pages at full speed"


class ThrottledStore:
    """A store below, and what taps on it are made to look like; its own operations are those of the store below."""

    def __init__(self, below: Store, throttle: Throttle, device: Device | None = None) -> None:
        """Wrap a store.

        Args:
            below: where the data is.
            throttle: what to imitate.
            device: whose queue to stand in; None: the one of this URL.
        """
        self.below = below
        self.throttle = throttle
        self.url = f"{PREFIX}{below.url}?{throttle.text}"
        self.local_root = below.local_root
        self._device = device or Device(self.url)

    def pace(self, rank: int, worker: int) -> Pace:
        """Return what times the operations of one tap.

        Raises:
            StoreError: the device's queue cannot be shared with other processes here.
        """
        is_shared = self.throttle.bandwidth_bytes_per_s or self.throttle.operations_per_s
        return Pace(
            self.throttle,
            self._device.clock() if is_shared else None,
            (rank, worker),
            self._device.names_clock() if self.throttle.metadata_per_s else None,
        )

    def list(self, path: str = "") -> list[Entry]:
        """List a directory below, at full speed."""
        return self.below.list(path)

    def stat(self, path: str) -> Entry:
        """Ask for one name's facts, at full speed."""
        return self.below.stat(path)

    def read(self, path: str, size_bytes: int | None = None) -> bytes:
        """Read a whole object, at full speed."""
        return self.below.read(path, size_bytes)

    def read_range(self, path: str, offset: int, size_bytes: int) -> bytes:
        """Read a part of an object, at full speed."""
        return self.below.read_range(path, offset, size_bytes)

    def write(self, path: str, content: bytes | bytearray | memoryview, *, sync: bool = False) -> None:
        """Create or replace an object, at full speed."""
        self.below.write(path, content, sync=sync)

    def make_dir(self, path: str) -> None:
        """Create a directory and its parents, at full speed."""
        self.below.make_dir(path)

    def rename(self, old: str, new: str) -> None:
        """Move one object, at full speed."""
        self.below.rename(old, new)

    def unlink(self, path: str) -> None:
        """Remove one object, at full speed."""
        self.below.unlink(path)

    def remove_dir(self, path: str) -> None:
        """Remove an empty directory, at full speed."""
        self.below.remove_dir(path)

    def capacity(self) -> Capacity:
        """Return the space left below."""
        return self.below.capacity()

    def at(self, path: str) -> ThrottledStore:
        """Return the same store, on the same device, rooted at a directory below."""
        return ThrottledStore(self.below.at(path), self.throttle, self._device)


class Device:
    """The queues that all stores made of one throttled URL share; a process's hold ends with the last of them."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._clock: DeviceClock | None = None
        self._names_clock: DeviceClock | None = None

    def __getstate__(self) -> dict[str, object]:
        """Another process takes hold of the queues by itself."""
        return {"_name": self._name, "_clock": None, "_names_clock": None}

    def clock(self) -> DeviceClock:
        """Return this process's hold, taken now if need be; a forked process takes its own.

        Raises:
            StoreError: there is no place for the queue.
        """
        self._clock = device_clock(self._name)
        return self._clock

    def names_clock(self) -> DeviceClock:
        """Return this process's hold on the queue of operations that move no data; otherwise as `clock`."""
        self._names_clock = device_clock(f"{self._name} names")
        return self._names_clock


class SlowedStore:
    """The store below as a tap sees it: each operation takes as long as the throttle asks."""

    def __init__(self, store: ThrottledStore, pace: Pace) -> None:
        self.url = store.url
        self.local_root = store.local_root
        self._below = store.below
        self._pace = pace

    def list(self, path: str = "") -> list[Entry]:
        """List a directory; see `Store.list`."""
        return self._pace.timed(Kind.LIST, lambda: self._below.list(path))

    def stat(self, path: str) -> Entry:
        """Ask for one name's facts; see `Store.stat`."""
        return self._pace.timed(Kind.STAT, lambda: self._below.stat(path))

    def read(self, path: str, size_bytes: int | None = None) -> bytes:
        """Read a whole object; see `Store.read`."""
        return self._pace.timed(Kind.GET, lambda: self._below.read(path, size_bytes), len)

    def read_range(self, path: str, offset: int, size_bytes: int) -> bytes:
        """Read a part of an object; see `Store.read_range`."""
        return self._pace.timed(Kind.GET, lambda: self._below.read_range(path, offset, size_bytes), len)

    def write(self, path: str, content: bytes | bytearray | memoryview, *, sync: bool = False) -> None:
        """Create or replace an object; see `Store.write`."""
        size_bytes = memoryview(content).nbytes
        self._pace.timed(Kind.PUT, lambda: self._below.write(path, content, sync=sync), lambda _: size_bytes)

    def make_dir(self, path: str) -> None:
        """Create a directory and its parents; see `Store.make_dir`."""
        self._pace.timed(Kind.MKDIR, lambda: self._below.make_dir(path))

    def rename(self, old: str, new: str) -> None:
        """Move one object; see `Store.rename`."""
        self._pace.timed(Kind.RENAME, lambda: self._below.rename(old, new))

    def unlink(self, path: str) -> None:
        """Remove one object; see `Store.unlink`."""
        self._pace.timed(Kind.UNLINK, lambda: self._below.unlink(path))

    def remove_dir(self, path: str) -> None:
        """Remove an empty directory; see `Store.remove_dir`."""
        self._pace.timed(Kind.RMDIR, lambda: self._below.remove_dir(path))

    def capacity(self) -> Capacity:
        """Return the space left below, at once."""
        return self._below.capacity()

    def at(self, path: str) -> Store:
        """Return the store below at full speed, rooted deeper: taps are never asked for it."""
        return self._below.at(path)
