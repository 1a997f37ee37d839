"""Bytes that libraries fetched from object stores: they come through sockets, where the kernel counts no reads."""

from __future__ import annotations

import threading

from ioprof.capture.taps import TAPS
from ioprof.trace.kinds import Kind

_lock = threading.Lock()


class Fetched:
    """How many bytes this process fetched so."""

    size_bytes = 0


def note_get(start_ns: int, end_ns: int, size_bytes: int, error: int) -> None:
    """Keep a fetch that was timed where it was made."""
    with _lock:
        Fetched.size_bytes += size_bytes
    TAPS.note(Kind.GET, start_ns, end_ns, size_bytes, error, False)
