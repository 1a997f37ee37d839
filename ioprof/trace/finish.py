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
    """Write the tables of a run that has ended; the raw files are removed once all tables stand.

    Raises:
        OSError: the disk is full; the raw files stay and can be read as they are.
    """
    raw_dir = directory / RAW
    processes, _ = raw.raw_processes(raw_dir)
    _write(directory / "steps.parquet", STEPS, [raw.raw_steps(raw_dir)])
    _write(directory / "batches.parquet", BATCHES, [raw.raw_batches(raw_dir)])
    _write(directory / "operations.parquet", OPERATIONS, [raw.raw_operations(processes)])
    _write(directory / "spans.parquet", SPANS, _large_groups(raw.raw_spans(processes)))
    host = read_host_raw(raw_dir / HOST_RAW) if (raw_dir / HOST_RAW).exists() else HOST.empty_table()
    _write(directory / "host.parquet", HOST, [host])
    del processes
    shutil.rmtree(raw_dir)


def with_raw_facts(record: RunRecord, raw_dir: Path) -> RunRecord:
    """Return the record with what only the raw files know: epochs, kernel counters, tracing cost, sampling."""
    processes, caveats = raw.raw_processes(raw_dir)
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
            "caveats": [*record.caveats, *caveats],
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
