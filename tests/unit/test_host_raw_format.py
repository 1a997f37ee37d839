"""The sampler's file survives whatever happens to its writer."""

from __future__ import annotations

import os
import resource
import signal
from pathlib import Path

import pytest

from ioprof.host.raw_format import MAGIC, RawWriter
from ioprof.host.sampler import missing_metrics, read_host_raw
from ioprof.trace.schema import HOST

LOAD, DISK = ("load_average_1min", ""), ("disk_in_flight", "vda")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A file with three ticks, the last under other names."""
    path = tmp_path / "host.raw"
    writer = RawWriter(str(path))
    writer.note("psi_io_*", "/proc/pressure/io: No such file\nor directory")
    writer.names([LOAD, DISK])
    writer.tick(10, [0.5, 3.0])
    writer.tick(20, [0.6, 4.0])
    writer.names([LOAD])
    writer.tick(30, [0.7])
    writer.close()
    return path


def test_what_was_written_is_read_in_the_public_schema(raw: Path) -> None:
    """Every value comes back under its own metric, device and time, also after the set of series changed."""
    table = read_host_raw(raw)
    assert table.schema.equals(HOST, check_metadata=True)
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == [
        (10, *LOAD, 0.5), (10, *DISK, 3.0), (20, *LOAD, 0.6), (20, *DISK, 4.0), (30, *LOAD, 0.7),
    ]  # fmt: skip


def test_a_file_cut_anywhere_reads_up_to_the_cut(raw: Path) -> None:
    """Whichever byte the writer died at, readers get whole ticks from the start and no error."""
    content = raw.read_bytes()
    rows = []
    for length in range(len(content) + 1):
        raw.write_bytes(content[:length])
        rows.append(read_host_raw(raw).num_rows)
    assert rows == sorted(rows)
    assert set(rows) == {0, 2, 4, 5}


def test_a_damaged_frame_ends_the_series(raw: Path) -> None:
    """A flipped bit is not read as a value."""
    content = bytearray(raw.read_bytes())
    content[-3] ^= 0x40
    raw.write_bytes(content)
    assert read_host_raw(raw).num_rows == 4


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    """Only a sampler's own file is read."""
    path = tmp_path / "host.raw"
    path.write_bytes(b"PK\x03\x04 something else")
    with pytest.raises(ValueError, match=MAGIC.decode()):
        read_host_raw(path)


def test_missing_metrics_carry_their_reason(raw: Path) -> None:
    """What the kernel lacks is named together with why."""
    assert missing_metrics(raw) == {"psi_io_*": "/proc/pressure/io: No such file or directory"}


def test_a_full_disk_costs_ticks_but_not_the_file(tmp_path: Path) -> None:
    """A frame that does not fit is taken back whole, so that what follows once there is space reads."""
    path = tmp_path / "host.raw"
    writer = RawWriter(str(path))
    writer.names([LOAD])
    assert writer.tick(10, [1.0])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (os.path.getsize(path) + 5, before[1]))
        assert not writer.tick(20, [2.0])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert writer.tick(30, [3.0])
    writer.close()
    assert writer.lost_frames == 1
    assert read_host_raw(path)["value"].to_pylist() == [1.0, 3.0]
