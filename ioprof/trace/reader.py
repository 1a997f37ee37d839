"""Reads a run directory, finished or not: the only way into the analysis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ioprof.errors import RunDirectoryError
from ioprof.trace import raw
from ioprof.trace.finish import read_raw, with_raw_facts
from ioprof.trace.liveness import as_it_stands
from ioprof.trace.probe_record import ProbeRecord, read_probe
from ioprof.trace.replay_record import read_replay
from ioprof.trace.run_record import RunRecord
from ioprof.trace.rundir import RAW, read_run_json
from ioprof.trace.schema import ADDED, BATCHES, CHECKPOINTS, HOST, OPERATIONS, STEPS
from ioprof.trace.trace import Trace


def load_trace(directory: Path) -> Trace:
    """Return the trace of a run directory; nothing is written, so any reader may look at any run.

    Raises:
        RunDirectoryError: not a run directory, corrupt, or of a newer format.
    """
    record = as_it_stands(directory, read_run_json(directory))
    if (directory / RAW).is_dir():
        return _raw_trace(directory, record)
    probe, probe_defect = _probe(directory)
    host, lost = _host(directory)
    return Trace(
        run=record.model_copy(update={"caveats": [*record.caveats, *lost]}),
        steps=_table(directory, "steps", STEPS),
        batches=_table(directory, "batches", BATCHES),
        operations=_table(directory, "operations", OPERATIONS),
        host=host,
        checkpoints=_checkpoints(directory),
        spans=lambda: _parquet_spans(directory / "spans.parquet"),
        has_spans=(directory / "spans.parquet").exists(),
        probe=probe,
        probe_defect=probe_defect,
        replay=read_replay(directory),
        directory=directory,
    )


def _host(directory: Path) -> tuple[pa.Table, list[str]]:
    """Return the host's time series, or an empty one and why it cannot be read: steps and batches tell without it."""
    try:
        return _table(directory, "host", HOST), []
    except RunDirectoryError as error:
        return HOST.empty_table(), [f"The host's counters are missing: {error}"]


def _probe(directory: Path) -> tuple[ProbeRecord | None, str | None]:
    """Return what was measured beside a run, or why it cannot be read: the run itself is as good without."""
    try:
        return read_probe(directory), None
    except RunDirectoryError as error:
        return None, str(error)


def _raw_trace(directory: Path, record: RunRecord) -> Trace:
    found = read_raw(directory)
    return Trace(
        run=with_raw_facts(record, found),
        steps=raw.raw_steps(found.folder),
        batches=raw.raw_batches(found.folder),
        operations=raw.raw_operations(found.processes),
        host=found.host,
        checkpoints=raw.raw_checkpoints(found.folder),
        spans=lambda: raw.raw_spans(found.processes),
        replay=read_replay(directory),
    )


def _table(directory: Path, name: str, schema: pa.Schema) -> pa.Table:
    path = directory / f"{name}.parquet"
    try:
        table = pq.read_table(path)
    except FileNotFoundError as error:
        raise RunDirectoryError(f"{path}: missing; copy the run directory whole") from error
    except (OSError, pa.ArrowException) as error:
        raise RunDirectoryError(
            f"{path}: cannot be read, it was cut short or damaged ({error}); copy it again"
        ) from error
    for column in schema.names:
        if column in table.schema.names:
            continue
        if column not in ADDED.get(name, ()):
            raise RunDirectoryError(f"{path}: corrupt: it lacks the column {column}")
        table = table.append_column(schema.field(column), pa.nulls(table.num_rows, schema.field(column).type))
    return table


def _checkpoints(directory: Path) -> pa.Table:
    """Return the saves and restores; runs of before there were any have no such table."""
    exists = (directory / "checkpoints.parquet").exists()
    return _table(directory, "checkpoints", CHECKPOINTS) if exists else CHECKPOINTS.empty_table()


def _parquet_spans(path: Path) -> Iterator[pa.RecordBatch]:
    """Stream the spans; a published run may have dropped them."""
    if not path.exists():
        return
    try:
        yield from pq.ParquetFile(path).iter_batches(batch_size=1 << 17)
    except (OSError, pa.ArrowException) as error:
        raise RunDirectoryError(f"{path}: cannot be read: {error}") from error
