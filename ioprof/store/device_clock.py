"""The queue of a device that all processes of this host share: when it will have served what it was asked so far.

Two integers in a small file in memory say until when the device is taken, once by operations and once by bytes. Who
wants something served moves them on under a lock, which the kernel takes back from a process that dies. The last user
removes the file; one that nobody holds open any more (its users were killed) is begun anew by the next.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import multiprocessing.util
import os
import struct
import tempfile
import threading
import weakref
from pathlib import Path

from ioprof.errors import StoreError

_STATE = struct.Struct("<2q")
_FILE_BYTES = 4096
_GIVEN_BACK_NS = 2_000_000
"""Turns that nobody took in the last so many ns can still be taken: a client that the CPU kept waiting for less than
that does not cost the device throughput."""


class DeviceClock:
    """One process's hold on a shared device; use `device_clock` to get one."""

    def __init__(self, path: Path) -> None:
        """Open or create the state.

        Raises:
            StoreError: there is no place for it.
        """
        self._lock = threading.Lock()
        try:
            self._descriptor = _attached(path)
        except OSError as error:
            raise StoreError(f"{path}: the throttled store's queue cannot be kept there: {error.strerror}") from error
        self._map = mmap.mmap(self._descriptor, _FILE_BYTES)
        self._detach = weakref.finalize(self, _detached, path, self._descriptor, os.getpid())
        # A worker of multiprocessing ends by os._exit, which runs its finalizers and no one else's.
        multiprocessing.util.Finalize(self, self._detach, exitpriority=0)

    def served_ns(self, asked_ns: int, operation_ns: int, transfer_ns: int) -> int:
        """Queue one operation and return when the device is done with it.

        Args:
            asked_ns: when it was asked for.
            operation_ns: how long the device takes no other operation after it began this one.
            transfer_ns: how long its bytes keep the device's link.
        """
        with self._lock:
            try:
                fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
                next_operation_ns, next_transfer_ns = self._state()
                turn_ns = max(asked_ns - _GIVEN_BACK_NS, next_operation_ns)
                begin_ns = max(turn_ns, asked_ns)
                served_ns = max(begin_ns, next_transfer_ns) + transfer_ns if transfer_ns else begin_ns
                next_transfer_ns = served_ns if transfer_ns else next_transfer_ns
                _STATE.pack_into(self._map, 0, turn_ns + operation_ns, next_transfer_ns)
            finally:
                fcntl.lockf(self._descriptor, fcntl.LOCK_UN)
        return served_ns

    def _state(self) -> tuple[int, int]:
        """Return until when the device is taken: by operations, and by bytes."""
        found: tuple[int, int] = _STATE.unpack_from(self._map)
        return found


class _Held:
    """The clocks of this process; two of one device would break its lock, which the kernel keeps by process."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Know none: in a forked process, which must not share a descriptor with its parent."""
        self.lock = threading.Lock()
        self.clocks: weakref.WeakValueDictionary[Path, DeviceClock] = weakref.WeakValueDictionary()


_HELD = _Held()
os.register_at_fork(after_in_child=_HELD.begin_anew)


def device_clock(name: str) -> DeviceClock:
    """Return this process's hold on the device of that name; it is given up when nobody refers to it any more.

    Raises:
        StoreError: there is no place for its state.
    """
    path = state_path(name)
    with _HELD.lock:
        clock = _HELD.clocks.get(path)
        if clock is None:
            clock = _HELD.clocks[path] = DeviceClock(path)
        return clock


def state_path(name: str) -> Path:
    """Return the file of a device: in memory where this host has a place for that, of this user, for all processes."""
    in_memory = Path("/dev", "shm")
    folder = in_memory if os.access(in_memory, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    return folder / f"ioprof-throttle-{os.getuid()}-{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _attached(path: Path) -> int:
    """Open the state as one of its users; without others it begins anew."""
    while True:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            if _is_alone(descriptor):
                os.ftruncate(descriptor, _FILE_BYTES)
                os.pwrite(descriptor, bytes(_STATE.size), 0)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # its last user removed it meanwhile


def _is_alone(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _detached(path: Path, descriptor: int, pid: int) -> None:
    """Give the state up, and remove it where this was its last user."""
    if os.getpid() != pid:
        return  # forked: the hold is the parent's
    try:
        if _is_alone(descriptor) and os.fstat(descriptor).st_nlink:
            path.unlink()
    finally:
        os.close(descriptor)
