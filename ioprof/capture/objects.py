"""Bytes that libraries fetched from object stores: they come through sockets, where the kernel counts no reads."""

from __future__ import annotations

import os
import threading

from ioprof.capture.taps import TAPS
from ioprof.trace.kinds import Kind


class Fetched:
    """How many bytes this process fetched so."""

    size_bytes = 0
    lock = threading.Lock()
    """Fetches end in several threads at once."""


def _after_fork_in_child() -> None:
    # A thread of the parent's may have held it, which is not here to give it back.
    Fetched.lock = threading.Lock()


os.register_at_fork(after_in_child=_after_fork_in_child)


def note_get(start_ns: int, end_ns: int, size_bytes: int, error: int) -> None:
    """Keep a fetch that was timed where it was made."""
    with Fetched.lock:
        Fetched.size_bytes += size_bytes
    TAPS.note(Kind.GET, start_ns, end_ns, size_bytes, error, False)
