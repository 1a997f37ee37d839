"""Logs of fixed-size rows: everything committed is there, nothing half-written is."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioprof.trace.recordlog import SEGMENT_RECORDS, WORD, RecordLog, read_log

SCHEMA = pa.schema(
    [
        pa.field("number", pa.int64(), nullable=False),
        pa.field("small", pa.int32(), nullable=False),
        pa.field("maybe", pa.int64(), nullable=True),
    ]
)
ROW_BYTES = (len(SCHEMA) + 1) * WORD

pytestmark = pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")


@settings(max_examples=20)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**63), 2**63 - 1), st.integers(-(2**31), 2**31 - 1), st.none() | st.integers(0, 2**62)
        ),
        max_size=50,
    )
)
def test_rows_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int, int | None]]
) -> None:
    """All values of a column's type, nulls included, while the log is open and after."""
    path = tmp_path_factory.mktemp("log") / "steps-0.log"
    log = RecordLog(path, SCHEMA)
    for number, small, maybe in rows:
        log.append(number, small, -1 if maybe is None else maybe)
    wanted = [dict(zip(SCHEMA.names, row, strict=True)) for row in rows]
    assert read_log(path, SCHEMA).to_pylist() == wanted
    log.close()
    log.close()
    table = read_log(path, SCHEMA)
    assert table.to_pylist() == wanted
    assert table.schema == SCHEMA


def test_a_log_grows_by_segments_without_losing_a_row(tmp_path: Path) -> None:
    """The rows at the edges of a segment are the ones that would go."""
    log = RecordLog(tmp_path / "log", SCHEMA)
    count = 2 * SEGMENT_RECORDS + 5
    for number in range(count):
        log.append(number, 7, -1)
    log.close()
    assert read_log(tmp_path / "log", SCHEMA)["number"].to_pylist() == list(range(count))


def test_an_absent_log_is_an_empty_table_and_a_second_writer_is_refused(tmp_path: Path) -> None:
    """Two writers of one file would overwrite each other."""
    assert read_log(tmp_path / "log", SCHEMA).num_rows == 0
    log = RecordLog(tmp_path / "log", SCHEMA)
    with pytest.raises(FileExistsError):
        RecordLog(tmp_path / "log", SCHEMA)
    log.close()


def test_rows_survive_sigkill_at_random_moments(tmp_path: Path) -> None:
    """The child is killed while it writes without pause; every row that it announced is there, and all are whole."""
    random.seed(1)
    for attempt in range(25):
        path = tmp_path / f"{attempt}.log"
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            log = RecordLog(path, SCHEMA)
            for number in range(10**9):
                log.append(number, number % 1000, number * 3)
                if number % 100 == 0:
                    os.write(tell, b".")
        os.close(tell)
        seen = len(os.read(told, random.randrange(1, 60)))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        with os.fdopen(told, "rb") as rest:
            seen += len(rest.read())
        rows = read_log(path, SCHEMA).to_pylist()
        assert len(rows) > (seen - 1) * 100
        assert rows == [{"number": n, "small": n % 1000, "maybe": n * 3} for n in range(len(rows))]


@pytest.mark.parametrize("cut_bytes", [1, 8, ROW_BYTES - 1, ROW_BYTES, SEGMENT_RECORDS * ROW_BYTES])
def test_a_log_that_lost_its_end_gives_the_rows_before(tmp_path: Path, cut_bytes: int) -> None:
    """Cut anywhere, down to nothing."""
    log = RecordLog(tmp_path / "log", SCHEMA)
    for number in range(SEGMENT_RECORDS):
        log.append(number, 0, 0)
    log.close()
    os.truncate(tmp_path / "log", (tmp_path / "log").stat().st_size - cut_bytes)
    kept = (SEGMENT_RECORDS * ROW_BYTES - cut_bytes) // ROW_BYTES
    assert read_log(tmp_path / "log", SCHEMA)["number"].to_pylist() == list(range(kept))


def test_a_full_disk_is_an_error_at_the_segment_and_keeps_what_was_written(tmp_path: Path) -> None:
    """Space is reserved before it is used: OSError here, never SIGBUS."""
    log = RecordLog(tmp_path / "log", SCHEMA)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (SEGMENT_RECORDS * ROW_BYTES + 10, before[1]))
    try:
        with pytest.raises(OSError, match=r"too large|space") as caught:
            for number in range(SEGMENT_RECORDS + 1):
                log.append(number, 0, 0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno in (errno.EFBIG, errno.ENOSPC)
    log.close()
    assert read_log(tmp_path / "log", SCHEMA).num_rows == SEGMENT_RECORDS


def test_a_log_of_before_a_column_was_added_reads_with_nulls(tmp_path: Path) -> None:
    """A killed run leaves its rows as its version wrote them: no word is taken for another one."""
    added = pa.schema([*SCHEMA, pa.field("added", pa.int32(), nullable=True)])
    log = RecordLog(tmp_path / "rows.log", SCHEMA)
    for number in range(40):
        log.append(number, 7, 9)
    log.close()
    rows = read_log(tmp_path / "rows.log", added).to_pylist()
    assert rows == [{"number": number, "small": 7, "maybe": 9, "added": None} for number in range(40)]
