"""From raw files to the public tables, and what a killed run's raw files still tell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ioprof.host.sampler import read_host_raw
from ioprof.trace import raw
from ioprof.trace.run_record import OverheadRecord, RunRecord
from ioprof.trace.rundir import RAW
from ioprof.trace.schema import BATCHES, HOST, OPERATIONS, SPANS, STEPS

HOST_RAW = "host.raw"
_ROW_GROUP_ROWS = 1 << 20


def finish_tables(directory: Path) -> None:
    """Write the tables of a run that has ended; the raw files stay until `remove_raw`.

    Raises:
        OSError: the disk is full; the raw files can be read as they are.
    """
    raw_dir = directory / RAW
    processes, _ = raw.raw_processes(raw_dir)
    _write(directory / "steps.parquet", STEPS, [raw.raw_steps(raw_dir)])
    _write(directory / "batches.parquet", BATCHES, [raw.raw_batches(raw_dir)])
    _write(directory / "operations.parquet", OPERATIONS, [raw.raw_operations(processes)])
    _write(directory / "spans.parquet", SPANS, _large_groups(raw.raw_spans(processes)))
    _write(directory / "host.parquet", HOST, [raw_host(raw_dir)])


def remove_raw(directory: Path) -> None:
    """Remove the raw files of a run whose tables and run.json stand.

    They are renamed first, in one step: a reader that finds the folder under its own name finds all of it.
    """
    done = directory / f"{RAW}.done"
    os.rename(directory / RAW, done)
    # What cannot be removed now (a networked filesystem's open files) is litter, not data.
    shutil.rmtree(done, ignore_errors=True)


def raw_host(raw_dir: Path) -> pa.Table:
    """Return the host's time series; empty where the sampler did not run or its file cannot be read."""
    return _host(raw_dir)[0]


def _host(raw_dir: Path) -> tuple[pa.Table, list[str]]:
    """Return the host's time series and, where there is none, the caveat that says why."""
    try:
        return read_host_raw(raw_dir / HOST_RAW), []
    except (OSError, ValueError) as error:
        return HOST.empty_table(), [f"the host's counters are missing: {error}"]


def with_raw_facts(record: RunRecord, raw_dir: Path) -> RunRecord:
    """Return the record with what only the raw files know: epochs, kernel counters, tracing cost, sampling."""
    processes, caveats = raw.raw_processes(raw_dir)
    caveats += _host(raw_dir)[1]
    lost = raw.lost_records(processes)
    if lost:
        caveats.append(
            f"the results disk was full: {lost:,} records of full spans are missing; counts and percentiles are exact"
        )
    overhead = record.overhead or OverheadRecord(span_ns=0.0, batch_ns=0.0)
    traced = {"spans": raw.spans_traced(processes), "worker_time_ns": raw.worker_time_ns(processes)}
    return record.model_copy(
        update={
            "epochs": raw.raw_epochs(raw_dir),
            "kernel_io": raw.kernel_io(processes),
            "sample_every": raw.sample_every(processes),
            "overhead": overhead.model_copy(update=traced) if record.overhead else None,
            "caveats": list(dict.fromkeys([*record.caveats, *caveats])),
        }
    )


def _write(path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
    fresh = path.with_suffix(".new")
    try:
        with pq.ParquetWriter(fresh, schema, compression="zstd") as writer:
            for table in tables:
                writer.write_table(table, row_group_size=_ROW_GROUP_ROWS)
    except BaseException:
        fresh.unlink(missing_ok=True)
        raise
    os.replace(fresh, path)


def _large_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Join span batches to row groups of about a million rows: small groups compress badly and read slowly."""
    pending: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        pending.append(batch)
        rows += batch.num_rows
        if rows >= _ROW_GROUP_ROWS:
            yield pa.Table.from_batches(pending)
            pending, rows = [], 0
    if pending:
        yield pa.Table.from_batches(pending)
