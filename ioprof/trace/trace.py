"""A run as the analysis sees it: the record, the tables, and the spans as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from ioprof.trace.probe_record import ProbeRecord
from ioprof.trace.replay_record import ReplayRecord
from ioprof.trace.run_record import RunRecord
from ioprof.trace.schema import CHECKPOINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything a run directory holds; the tables follow the schemas of `ioprof.trace.schema`."""

    run: RunRecord
    steps: pa.Table
    batches: pa.Table
    operations: pa.Table
    host: pa.Table | None
    """None: the host was not sampled."""
    checkpoints: pa.Table = field(default_factory=CHECKPOINTS.empty_table)
    """Empty where none was asked for."""
    spans: Callable[[], Iterator[pa.RecordBatch]]
    """Start one pass over the spans; they may be many, so they are never whole in memory."""
    probe: ProbeRecord | None = None
    """None: the run has no probe.json, or it cannot be read."""
    probe_defect: str | None = None
    """Why probe.json cannot be read, in a line; None: it can, or there is none."""
    replay: ReplayRecord | None = None
    """None: the run repeats no other one."""
    directory: Path | None = None
    """Where it was read from; None: it was not."""
    has_spans: bool = True
    """False: they were left out when the run was published, and `spans` yields none."""
