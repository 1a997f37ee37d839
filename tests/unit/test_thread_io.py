"""What threads read is counted thread by thread, also by one counter that follows several of them in turn."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from ioprof.host.thread_io import ThreadIo

_FILE_BYTES = 300_000


def _in_thread(work: Callable[[], None]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def _rchar(io: ThreadIo) -> int:
    counters = io.read()
    assert counters is not None
    return counters.rchar


def test_a_thread_is_counted_without_what_others_read(tmp_path: Path) -> None:
    """Nor with what it read before it was followed, or what the thread reads that looks at the counters."""
    (tmp_path / "file").write_bytes(bytes(_FILE_BYTES))
    io = ThreadIo()
    begun: list[int] = []

    def work() -> None:
        (tmp_path / "file").read_bytes()
        io.follow()
        begun.append(_rchar(io))
        (tmp_path / "file").read_bytes()

    _in_thread(work)
    (tmp_path / "file").read_bytes()
    assert begun[0] < 0.1 * _FILE_BYTES
    # An ended thread shows what it showed last: before its file was read, or after.
    assert _rchar(io) - begun[0] < 1.1 * _FILE_BYTES
    io.close()


def test_a_counter_goes_on_with_the_next_thread(tmp_path: Path) -> None:
    """What two threads read in turn adds up, and is never less than before."""
    (tmp_path / "file").write_bytes(bytes(_FILE_BYTES))
    io, seen = ThreadIo(), list[int]()

    def work() -> None:
        io.follow()
        (tmp_path / "file").read_bytes()
        seen.append(_rchar(io))

    _in_thread(work)
    _in_thread(work)
    assert _FILE_BYTES <= seen[0] < 1.1 * _FILE_BYTES
    assert 2 * _FILE_BYTES <= seen[1] < 2.1 * _FILE_BYTES
    io.close()
    io.close()


def test_a_kernel_without_counters_shows_nothing(tmp_path: Path) -> None:
    """None, not zero."""
    io = ThreadIo(proc=str(tmp_path))
    io.follow()
    assert io.read() is None
    io.close()
