"""Whole objects read by the compiled loop and by the one in Python: the same contents, stamps and manners."""

from __future__ import annotations

import fcntl
import gc
import itertools
import math
import os
import signal
import struct
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.errors import UsageError
from ioprof.store.compiled import VARIABLE
from ioprof.store.local import LocalStore
from ioprof.store.local_tap import LocalTap
from ioprof.store.object_reads import compiled_read_files, reads_in_use, unstamped_reads
from ioprof.store.page_counts import count_pages, count_pages_plainly
from ioprof.trace.durations import count_durations, count_durations_plainly
from ioprof.trace.histogram import BUCKETS, SUB_BITS
from ioprof.trace.hits import BYTES_MASK
from ioprof.trace.kinds import SHORT_READ, Kind, Phase
from ioprof.trace.raw import raw_processes, raw_spans
from ioprof.trace.recorder import READ_STAMPS, Recorder
from ioprof.trace.words import put_words, put_words_plainly

Span = dict[str, int]
MANY = 600
"""More files than the compiled loop prepares at once."""


class Bench:
    """A folder, the tap that reads its files, and what was recorded."""

    def __init__(self, folder: Path, trace_dir: Path) -> None:
        self.folder, self.trace_dir = folder, trace_dir
        self.recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**6)
        self.recorder.begin(int(Phase.STEADY), batch=0)
        self.tap = LocalTap(LocalStore(str(folder)), self.recorder)

    def read(self, sizes_bytes: dict[str, int]) -> list[bytes]:
        """Read files of these names and sizes; they are objects 0, 1, 2..."""
        paths = [self.tap.root + name for name in sizes_bytes]
        return list(self.tap.read_objects(paths, list(sizes_bytes.values()), range(len(paths))))

    def spans(self) -> list[Span]:
        """Return the operations in the order of their start."""
        self.recorder.end()
        rows: list[Span] = [row for chunk in raw_spans(raw_processes(self.trace_dir)[0]) for row in chunk.to_pylist()]
        return sorted(rows, key=lambda row: (row["start_ns"], row["kind"]))


@pytest.fixture
def bench(tmp_path: Path, trace_dir: Path, reads: str) -> Iterator[Bench]:
    """An empty folder, and one of the two loops, which leaves no descriptor open."""
    folder = tmp_path / "store"
    folder.mkdir()
    assert reads_in_use() == reads
    made = Bench(folder, trace_dir)
    gc.collect()  # what tests before this one have left is not closed in the middle of it
    before = os.listdir("/proc/self/fd")
    yield made
    assert os.listdir("/proc/self/fd") == before


def test_a_batch_of_many_files_is_read_in_order_with_stamps_that_never_go_back(bench: Bench) -> None:
    """Each operation begins when the one before it ended, or later; a failure in between hurts no other file."""
    for number in range(MANY):
        (bench.folder / str(number)).write_bytes(b"%d" % number)
    (bench.folder / "300").unlink()
    before_ns = time.perf_counter_ns()
    contents = bench.read({str(number): len(str(number)) for number in range(MANY)})
    after_ns = time.perf_counter_ns()
    assert contents == [b"%d" % number for number in range(MANY) if number != 300]
    spans = bench.spans()
    assert [row["object"] for row in spans if row["kind"] == Kind.READ] == [*range(300), *range(301, MANY)]
    assert [row["object"] for row in spans if row["error"]] == [300]
    ends_ns = [row["start_ns"] + row["duration_ns"] for row in spans]
    assert all(row["start_ns"] >= end_ns - 1 for row, end_ns in zip(spans[1:], ends_ns, strict=False))
    assert before_ns <= spans[0]["start_ns"] <= ends_ns[-1] <= after_ns
    assert bench.recorder.storage_ns == pytest.approx(sum(row["duration_ns"] for row in spans), rel=1e-3)


@pytest.mark.parametrize("name", [b"caf\xc3\xa9", b"\xff\xfe", b"with blank"])
def test_names_that_are_no_ascii_are_found(bench: Bench, name: bytes) -> None:
    """Text in the file system's encoding, and bytes that are none."""
    os.mkdir(os.fsencode(bench.folder) + b"/" + name)
    path = os.path.join(os.fsdecode(name), "file")
    (bench.folder / path).write_bytes(b"content")
    assert bench.read({path: 7}) == [b"content"]


def test_a_name_with_a_zero_byte_is_refused(bench: Bench) -> None:
    """As everywhere in Python; the kernel would see another name."""
    (bench.folder / "file").write_bytes(b"content")
    with pytest.raises(ValueError, match="null byte"):
        bench.read({"file\0more": 7})


def test_names_and_sizes_that_differ_in_number_are_refused(bench: Bench) -> None:
    """A size too few must not make a file vanish."""
    with pytest.raises(ValueError, match=r"2 objects and 1 sizes"):
        bench.tap.read_objects([f"{bench.tap.root}a", f"{bench.tap.root}b"], [1], [0, 1])


@contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do something in another thread."""
    thread = threading.Thread(target=work)
    thread.start()
    yield
    thread.join()


def _until_taken(descriptor: int) -> None:
    while struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))[0]:
        time.sleep(0.001)


def test_a_file_that_comes_in_parts_is_one_read_of_the_whole(bench: Bench) -> None:
    """A pipe gives what is in it; its writer is a thread, which must get on while the file is opened and read."""
    os.mkfifo(bench.folder / "pipe")
    (bench.folder / "file").write_bytes(b"behind it")

    def write() -> None:
        descriptor = os.open(bench.folder / "pipe", os.O_WRONLY)
        for part in (b"first", b"then", b"last"):
            os.write(descriptor, part)
            _until_taken(descriptor)
        os.close(descriptor)

    with beside(write):
        assert bench.read({"pipe": 13, "file": 9}) == [b"firstthenlast", b"behind it"]
    spans = [(Kind(row["kind"]), row["object"], row["bytes"], row["error"]) for row in bench.spans()]
    assert spans == [
        row for obj, size in ((0, 13), (1, 9)) for row in
        ((Kind.OPEN, obj, 0, 0), (Kind.READ, obj, size, 0), (Kind.CLOSE, obj, 0, 0))
    ]  # fmt: skip
    assert bench.tap.tapped_bytes == 22
    assert bench.recorder.storage_ns == pytest.approx(sum(row["duration_ns"] for row in bench.spans()), rel=1e-3)


def test_a_file_that_ends_early_after_parts_is_a_short_read(bench: Bench) -> None:
    """With the bytes that came."""
    os.mkfifo(bench.folder / "pipe")

    def write() -> None:
        descriptor = os.open(bench.folder / "pipe", os.O_WRONLY)
        os.write(descriptor, b"first")
        os.close(descriptor)

    with beside(write):
        assert bench.read({"pipe": 13}) == []
    (read,) = (row for row in bench.spans() if row["kind"] == Kind.READ)
    assert (read["bytes"], read["error"]) == (5, SHORT_READ)


class BrokenError(Exception):
    """Raised by a signal's handler."""


@contextmanager
def alarm(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Send this thread a signal again and again until the first was handled."""
    handled, main = threading.Event(), threading.get_ident()

    def handle(number: int, frame: FrameType | None) -> None:
        if not handled.is_set():
            handled.set()
            handler(number, frame)

    def strike() -> None:
        while not handled.wait(0.01):
            signal.pthread_kill(main, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        with beside(strike):
            yield
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("is_open", [False, True], ids=["opening", "reading"])
def test_a_handler_that_raises_ends_a_call_that_would_wait_for_ever(bench: Bench, is_open: bool) -> None:
    """What was read before is kept, and no descriptor is left."""
    os.mkfifo(bench.folder / "pipe")
    (bench.folder / "file").write_bytes(b"before it")
    writer = os.open(bench.folder / "pipe", os.O_RDWR) if is_open else -1

    def breaks(number: int, frame: FrameType | None) -> None:
        raise BrokenError

    bench.tap.witness.budget = math.inf
    bench.tap.witness.begin(0)
    bench.read({"file": 9})
    with pytest.raises(BrokenError), alarm(breaks):
        bench.read({"file": 9, "pipe": 13})
    if is_open:
        os.close(writer)
    assert [row["object"] for row in bench.spans() if row["kind"] == Kind.READ] == [0, 0]
    assert bench.tap.tapped_bytes == 18


def test_a_call_that_a_signal_interrupted_is_made_again(bench: Bench) -> None:
    """A handler that returns hurts nobody (PEP 475)."""
    os.mkfifo(bench.folder / "pipe")
    writers = list[int]()

    def write(number: int, frame: FrameType | None) -> None:
        writers.append(os.open(bench.folder / "pipe", os.O_RDWR))
        os.write(writers[0], b"content")

    with alarm(write):
        assert bench.read({"pipe": 7}) == [b"content"]
    os.close(writers[0])


def test_the_same_files_are_read_without_notes(bench: Bench) -> None:
    """What the cost of tracing is measured against: the same contents; and a file that is cut short is refused."""
    for number in range(3):
        (bench.folder / str(number)).write_bytes(b"%d" % number)
    paths, read = [f"{bench.folder}/{number}" for number in range(3)], unstamped_reads()
    assert read(paths, [1, 1, 1]) == [b"0", b"1", b"2"]
    with pytest.raises(OSError, match="1 bytes instead of 2"):
        read(paths, [1, 2, 1])
    with pytest.raises(FileNotFoundError):
        read([*paths, f"{bench.folder}/3"], [1] * 4)


def test_what_asking_takes_is_in_no_duration(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked or not, an object's operations follow each other; what they take together is the batch's storage time."""
    for number in range(3):
        (bench.folder / str(number)).write_bytes(b"%d" % number)
    (bench.folder / "1").write_bytes(b"")
    bench.tap.witness.budget = math.inf
    for batch in range(3):
        bench.recorder.begin(int(Phase.STEADY), batch=batch)
        bench.tap.witness.begin(batch)
        assert bench.read({"0": 1, "absent": 1, "1": 1, "2": 1}) == [b"0", b"2"]
        assert bench.tap.witness.end(10**6) >= 0
        bench.recorder.end()
    spans = bench.spans()
    ends_ns = [row["start_ns"] + row["duration_ns"] for row in spans]
    assert all(row["start_ns"] >= end_ns - 1 for row, end_ns in zip(spans[1:], ends_ns, strict=False))
    assert bench.recorder.storage_ns == pytest.approx(sum(row["duration_ns"] for row in spans), rel=1e-3)
    whole = [row for row in spans if row["object"] in (0, 3)]
    assert [row["kind"] for row in whole] == [Kind.OPEN, Kind.READ, Kind.CLOSE] * 6
    assert all(
        abs(row["start_ns"] - before["start_ns"] - before["duration_ns"]) <= 1
        for before, row in itertools.pairwise(whole) if row["kind"] != Kind.OPEN
    )  # fmt: skip


def test_stamps_go_only_where_there_is_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The compiled loop writes into memory: it looks at the length before."""
    monkeypatch.delenv(VARIABLE, raising=False)
    read_files = compiled_read_files()
    if read_files is None:
        pytest.skip("the compiled reader was not built: no C compiler, or no headers of Python's")
    (tmp_path / "file").write_bytes(b"content")
    paths, contents = [f"{tmp_path}/file"] * 2, list[bytes]()
    for room, at in ((2 * READ_STAMPS.size - 1, 0), (2 * READ_STAMPS.size, 1), (100, -8), (100, 101)):
        with pytest.raises(ValueError, match="no room"):
            read_files(paths, [7, 7], 0, contents, bytearray(room), at, None, None)
    stamps = bytearray(2 * READ_STAMPS.size)
    assert read_files(paths, [7, 7], 0, contents, stamps, 0, None, None)[1] is None
    assert contents == [b"content"] * 2
    assert sorted(struct.unpack("8d", stamps)) == list(struct.unpack("8d", stamps))


@given(
    st.lists(st.tuples(st.integers(0, 1 << 45), st.integers(-1, 1 << 34)), max_size=20),
    st.sampled_from([4096, 16384]),
)
def test_cached_pages_are_counted_alike(answers: list[tuple[int, int]], page_bytes: int) -> None:
    """Compiled and not, for objects of any size, cached wholly, partly, not at all, or not known."""
    sizes_bytes, found = [size for size, _ in answers], [cached for _, cached in answers]
    plainly = count_pages_plainly(sizes_bytes, found, page_bytes)
    assert plainly == count_pages()(sizes_bytes, found, page_bytes)
    assert plainly.counted + plainly.unanswered == len(answers)
    assert plainly.cached_pages <= plainly.pages
    assert plainly.hit_bytes <= sum(sizes_bytes)
    assert [word & BYTES_MASK for word in plainly.words] == sizes_bytes


@given(st.lists(st.lists(st.integers(-100, 10**14), min_size=4, max_size=4), min_size=1, max_size=50))
def test_durations_are_counted_alike(steps_ns: list[list[int]]) -> None:
    """Compiled and not, of any length, zero and a clock that stepped back included: sums, extremes and histograms."""
    stamps = np.cumsum(np.array(steps_ns, dtype=np.float64) / 1e9, axis=1)
    plainly, compiled = (np.zeros(3 * BUCKETS, dtype=np.int64) for _ in range(2))
    assert count_durations_plainly(stamps, plainly, SUB_BITS) == count_durations()(stamps, compiled, SUB_BITS)
    assert (plainly == compiled).all()
    assert plainly.reshape(3, BUCKETS).sum(axis=1).tolist() == [len(steps_ns)] * 3
    with pytest.raises(ValueError, match=r"no stamps|zero-size"):
        count_durations()(stamps[:0], compiled, SUB_BITS)


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=20))
def test_words_are_put_alike(numbers: list[int]) -> None:
    """Compiled and not; nothing around them is touched."""
    then_at, others = 16 + 8 * len(numbers), numbers[::-1]
    plainly, compiled = (bytearray(24 + 16 * len(numbers)) for _ in range(2))
    put_words_plainly(plainly, 8, numbers, then_at, others)
    put_words()(compiled, 8, numbers, then_at, others)
    assert plainly == compiled
    assert list(struct.unpack(f"<{2 * len(numbers) + 3}q", plainly)) == [0, *numbers, 0, *others, 0]


def test_words_go_only_where_there_is_room(reads: str) -> None:
    """The end of the mapping is the end; and they are integers."""
    put = put_words()
    for at in (8, 16, -1):
        with pytest.raises((ValueError, struct.error)):
            put(bytearray(15), at, [1], 0, [])
        with pytest.raises((ValueError, struct.error)):
            put(bytearray(15), 0, [], at, [1])
    with pytest.raises((TypeError, struct.error)):
        put(bytearray(16), 0, cast("list[int]", ["1"]), 8, [1])
    with pytest.raises(ValueError, match=r"shorter|2 sizes and 1 answers"):
        count_pages()([1, 2], [1], 4096)


def test_an_environment_that_names_no_loop_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, with what may stand there."""
    monkeypatch.setenv(VARIABLE, "fast")
    with pytest.raises(UsageError, match=r"^IOPROF_READS=fast: must be compiled or python, or not be set$"):
        compiled_read_files()
    monkeypatch.setenv(VARIABLE, "compiled")
    monkeypatch.setattr("ioprof.store.compiled._IS_BUILT", False)
    with pytest.raises(UsageError, match="was not built; install a C compiler"):
        reads_in_use()
    monkeypatch.delenv(VARIABLE)
    assert reads_in_use() == "python"
