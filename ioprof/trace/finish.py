"""From raw files to the public tables, and what a killed run's raw files still tell."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ioprof.host.sampler import missing_metrics, read_host_raw
from ioprof.trace import raw
from ioprof.trace.opsfile import Header
from ioprof.trace.run_record import OverheadRecord, RunRecord
from ioprof.trace.rundir import RAW
from ioprof.trace.schema import BATCHES, CHECKPOINTS, HOST, OPERATIONS, SPANS, STEPS

HOST_RAW = "host.raw"
_ROW_GROUP_ROWS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RawRun:
    """What a run's raw files hold that more than one reader asks for, each file opened once."""

    folder: Path
    processes: list[raw.RawProcess]
    host: pa.Table
    """The host's time series; empty where the sampler did not run or its file cannot be read."""
    host_missing: dict[str, str]
    """Series that this host does not have, or did not show, and why."""
    caveats: list[str]
    """One sentence for each file that could not be read."""


def read_raw(directory: Path) -> RawRun:
    """Open the raw files of a run directory."""
    folder = directory / RAW
    processes, caveats = raw.raw_processes(folder)
    host, missing, no_host = _host(folder)
    return RawRun(folder=folder, processes=processes, host=host, host_missing=missing, caveats=caveats + no_host)


def finished(directory: Path, record: RunRecord) -> RunRecord:
    """Write the tables as `finish_tables` does; return the run's record with what only the raw files know."""
    found = read_raw(directory)
    told = with_raw_facts(record, found)
    finish_tables(directory, found)
    return told


def finish_tables(directory: Path, found: RawRun) -> None:
    """Write the tables of a run that has ended; the raw files stay until `remove_raw`.

    Raises:
        OSError: the disk is full; the raw files can be read as they are.
    """
    _write(directory / "steps.parquet", STEPS, [raw.raw_steps(found.folder)])
    _write(directory / "batches.parquet", BATCHES, [raw.raw_batches(found.folder)])
    _write(directory / "checkpoints.parquet", CHECKPOINTS, [raw.raw_checkpoints(found.folder)])
    _write(directory / "operations.parquet", OPERATIONS, [raw.raw_operations(found.processes)])
    _write(directory / "spans.parquet", SPANS, _large_groups(raw.raw_spans(found.processes)))
    _write(directory / "host.parquet", HOST, [found.host])


def remove_raw(directory: Path) -> None:
    """Remove the raw files of a run whose tables and run.json stand.

    They are renamed first, in one step: a reader that finds the folder under its own name finds all of it.
    """
    done = directory / f"{RAW}.done"
    os.rename(directory / RAW, done)
    # What cannot be removed now (a networked filesystem's open files) is litter, not data.
    shutil.rmtree(done, ignore_errors=True)


def _host(folder: Path) -> tuple[pa.Table, dict[str, str], list[str]]:
    """Return the host's time series, what of it is missing, and, where there is none, the caveat that says why."""
    try:
        return read_host_raw(folder / HOST_RAW), missing_metrics(folder / HOST_RAW), []
    except FileNotFoundError:
        return HOST.empty_table(), {}, ["The host's counters are missing: the process that reads them had not begun."]
    except (OSError, ValueError) as error:
        return HOST.empty_table(), {}, [f"The host's counters are missing: {error}"]


def with_raw_facts(record: RunRecord, found: RawRun) -> RunRecord:
    """Return the record with what only the raw files know: epochs, kernel counters, tracing cost, sampling, losses."""
    processes = found.processes
    overhead = record.overhead or OverheadRecord(span_ns=0.0, batch_ns=0.0)
    traced = {
        "spans": raw.spans_traced(processes),
        "worker_time_ns": raw.worker_time_ns(processes),
        "hooks_ns": raw.hooks_ns(processes),
        "flush_ns": raw.flush_ns(processes),
        "batches": sum(process.header(Header.BATCHES) for process in processes),
    }
    measured = _of_own_program(record, found) if record.accelerator.is_measured else {}
    return record.model_copy(
        update=measured
        | {
            "epochs": raw.raw_epochs(found.folder),
            "kernel_io": raw.kernel_io(processes),
            "cache_counts": raw.cache_counts(processes),
            "page_faults": raw.page_faults(processes),
            "held_operations": raw.held_operations(processes),
            "host_missing": found.host_missing,
            "sample_every": raw.sample_every(processes),
            "dropped_spans": raw.lost_records(processes),
            "overhead": overhead.model_copy(update=traced) if record.overhead else None,
            "caveats": list(dict.fromkeys([*record.caveats, *found.caveats])),
        }
    )


def _of_own_program(record: RunRecord, found: RawRun) -> dict[str, object]:
    """Return how long a step of the user's own program usually kept it busy, and how large a batch was at most."""
    steps = raw.raw_steps(found.folder)
    if not steps.num_rows:
        return {}
    busy_ns = int(np.median(steps["busy_end_ns"].to_numpy() - steps["busy_start_ns"].to_numpy()))
    size = record.batch_size or int(steps["samples"].to_numpy().max())
    accelerator = record.accelerator.model_copy(update={"busy_ns_per_batch": busy_ns})
    return {"accelerator": accelerator, "batch_size": size}


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
