"""O_DIRECT: whole blocks are read and trimmed, and places without it are told in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ioprof.errors import SpecError
from ioprof.host.residency import CacheStat
from ioprof.store.direct_file import AlignedBuffer, check_direct, logical_block_bytes
from ioprof.store.local import LocalStore
from ioprof.store.page_cache import evict
from ioprof.store.tap_file import ShortReadError
from ioprof.trace.kinds import SHORT_READ, Kind
from ioprof.trace.raw import raw_processes, raw_spans
from tests.recorded_taps import errors, recorded_bytes, tapped

SIZE = 50_000
CONTENT = os.urandom(SIZE)
BLOCK = 4096


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """Return a store with one file whose end is no whole block; skip where there is no direct I/O."""
    try:
        check_direct(tmp_path)
    except SpecError as error:
        pytest.skip(str(error))
    made = LocalStore(str(tmp_path / "store"))
    made.make_dir("")
    made.write("volume", CONTENT, sync=True)
    return made


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(offset=st.integers(0, SIZE - 1), size_bytes=st.integers(1, SIZE))
def test_any_range_comes_trimmed(
    offset: int, size_bytes: int, tmp_path_factory: pytest.TempPathFactory, store: LocalStore
) -> None:
    """Bytes are the file's; what the device was asked for is recorded: whole blocks, or the file's last ones."""
    length = min(size_bytes, SIZE - offset)
    trace_dir, buffer = tmp_path_factory.mktemp("trace"), AlignedBuffer()
    with tapped(store, trace_dir) as tap, tap.open_direct("volume", 0, buffer=buffer, block_bytes=BLOCK) as file:
        assert file.read_at(offset, length) == CONTENT[offset : offset + length]
        into = bytearray(length)
        file.read_into(memoryview(into), offset)
        assert bytes(into) == CONTENT[offset : offset + length]
    first, last = offset // BLOCK * BLOCK, -(-(offset + length) // BLOCK) * BLOCK
    assert recorded_bytes(trace_dir, Kind.READ) == 2 * (min(last, SIZE) - first)
    rows = [row for chunk in raw_spans(raw_processes(trace_dir)[0]) for row in chunk.to_pylist()]
    assert {row["direct"] for row in rows if row["kind"] == Kind.OPEN} == {True}
    assert {row["offset"] for row in rows if row["kind"] == Kind.READ} == {first}


@pytest.mark.parametrize("offset", [SIZE - 10, SIZE, 13 * BLOCK, 100 * BLOCK])
def test_what_lies_behind_the_end_is_a_short_read(offset: int, store: LocalStore, trace_dir: Path) -> None:
    """Counted once, and no bytes are made up."""
    buffer = AlignedBuffer()
    with tapped(store, trace_dir) as tap, pytest.raises(ShortReadError):
        tap.open_direct("volume", 0, buffer=buffer, block_bytes=BLOCK).read_at(offset, 100)
    assert errors(trace_dir) == {(Kind.READ, SHORT_READ): 1}


def test_direct_reads_leave_the_page_cache_alone(store: LocalStore, trace_dir: Path) -> None:
    """After eviction and a direct read of the whole file, nothing of it is cached."""

    def resident() -> int | None:
        return evict(store.local_root or "", lambda _: "volume", 1, lambda _: None).resident_pages

    if resident() != 0:
        pytest.skip("residency is not told here")
    buffer = AlignedBuffer()
    with tapped(store, trace_dir) as tap, tap.open_direct("volume", 0, buffer=buffer, block_bytes=BLOCK) as file:
        assert file.read_at(0, SIZE) == CONTENT
        assert CacheStat().pages(file.descriptor, 0, 0) <= 0


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="no /dev/shm here")
def test_memory_is_no_place_for_direct_reads() -> None:
    """A tmpfs accepts O_DIRECT and serves from memory: refused, with what to do."""
    with pytest.raises(SpecError, match=r"workload.direct = true: /dev/shm is on tmpfs.*--store"):
        check_direct(Path("/dev/shm/not/there/yet"))


def test_the_logical_block_is_the_devices(tmp_path: Path) -> None:
    """From sysfs, of the whole disk where the device is a partition of it; 4 KiB where nothing is told."""
    number = tmp_path.stat().st_dev
    device = tmp_path / f"sys/dev/block/{os.major(number)}:{os.minor(number)}"
    assert logical_block_bytes(tmp_path, tmp_path / "sys") == 4096
    (device.parent / "queue").mkdir(parents=True)
    (device.parent / "queue/logical_block_size").write_text("512\n")
    device.mkdir()
    assert logical_block_bytes(tmp_path, tmp_path / "sys") == 512
    (device / "queue").mkdir()
    (device / "queue/logical_block_size").write_text("8192\n")
    assert logical_block_bytes(tmp_path, tmp_path / "sys") == 8192
