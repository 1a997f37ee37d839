"""The Arrow schemas of a run directory: a public format.

Every field carries ``unit`` and ``meaning`` as metadata. All ``*_ns`` columns named start, end or dispatch are
stamps of `ioprof.clock`; the others are durations.

Format history:
    1  first version (2026-11). Columns that came later, without which older runs still read, stand in `ADDED`.
"""

import pyarrow as pa

FORMAT = 1
"""Version of the run directory; readers refuse a newer one."""


def _field(name: str, kind: pa.DataType, unit: str, meaning: str, *, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"unit": unit, "meaning": meaning})


def _schema(table: str, fields: list[pa.Field]) -> pa.Schema:
    return pa.schema(fields, metadata={"ioprof_format": str(FORMAT), "ioprof_table": table})


STEPS = _schema(
    "steps",
    [
        _field("rank", pa.int32(), "1", "accelerator, from 0"),
        _field("epoch", pa.int32(), "1", "pass over the dataset, from 0"),
        _field("step", pa.int64(), "1", "position in the run, from 0"),
        _field("batch", pa.int64(), "1", "batch the step used"),
        _field("worker", pa.int32(), "1", "worker that made the batch; -1 is the consumer's own process"),
        _field("samples", pa.int32(), "1", "samples in the batch"),
        _field("bytes", pa.int64(), "B", "bytes of the samples as stored; null: not known", nullable=True),
        _field("wait_start_ns", pa.int64(), "ns", "consumer asked for the batch"),
        _field("wait_end_ns", pa.int64(), "ns", "consumer held the batch"),
        _field("h2d_end_ns", pa.int64(), "ns", "copy to the accelerator ended"),
        _field("busy_start_ns", pa.int64(), "ns", "accelerator started on the batch"),
        _field("busy_end_ns", pa.int64(), "ns", "accelerator finished the batch"),
    ],
)

BATCHES = _schema(
    "batches",
    [
        _field("rank", pa.int32(), "1", "accelerator, from 0"),
        _field("epoch", pa.int32(), "1", "pass over the dataset, from 0"),
        _field("batch", pa.int64(), "1", "position in the run, from 0"),
        _field("worker", pa.int32(), "1", "worker that made it; -1 is the consumer's own process"),
        _field("dispatch_ns", pa.int64(), "ns", "handed to the worker's queue; null: not known", nullable=True),
        _field("fetch_start_ns", pa.int64(), "ns", "worker began on it; null: not known", nullable=True),
        _field("fetch_end_ns", pa.int64(), "ns", "last sample read and decoded; null: not known", nullable=True),
        _field("collate_end_ns", pa.int64(), "ns", "samples joined into a batch; null: not known", nullable=True),
        _field("received_ns", pa.int64(), "ns", "consumer held it"),
        _field("storage_ns", pa.int64(), "ns", "time in storage operations; null: not known", nullable=True),
        _field("prep_ns", pa.int64(), "ns", "time in decode and augment; null: not known", nullable=True),
        _field("on_cpu_ns", pa.int64(), "ns", "worker on a CPU, fetch start to collate end", nullable=True),
        _field("run_queue_ns", pa.int64(), "ns", "worker runnable, waiting for a CPU", nullable=True),
        _field("blocked_ns", pa.int64(), "ns", "the rest of that interval: waiting for I/O or a lock", nullable=True),
        _field("fetch_on_cpu_ns", pa.int64(), "ns", "of on_cpu_ns, the part up to fetch end", nullable=True),
        _field("fetch_run_queue_ns", pa.int64(), "ns", "of run_queue_ns, the part up to fetch end", nullable=True),
        _field("minor_faults", pa.int64(), "1", "worker's page faults served from memory", nullable=True),
        _field("major_faults", pa.int64(), "1", "worker's page faults that waited for the store", nullable=True),
        _field("voluntary_switches", pa.int64(), "1", "times the worker left the CPU to wait", nullable=True),
        _field("involuntary_switches", pa.int64(), "1", "times the worker was preempted", nullable=True),
        _field("block_io_delay_ns", pa.int64(), "ns", "blocked for block I/O up to fetch end", nullable=True),
        _field("samples", pa.int32(), "1", "samples in the batch"),
        _field("bytes", pa.int64(), "B", "bytes of the samples as stored; null: not known", nullable=True),
        _field("errors", pa.int32(), "1", "samples left out because an operation failed"),
        _field(
            "client_hit_bytes",
            pa.int64(),
            "B",
            "in this host's page cache before they were read; null: not asked",
            nullable=True,
        ),
        _field(
            "accounted_every",
            pa.int32(),
            "1",
            "one batch in so many was accounted when this one was; null: it was not",
            nullable=True,
        ),
    ],
)

SPANS = _schema(
    "spans",
    [
        _field("rank", pa.int32(), "1", "accelerator, from 0"),
        _field("worker", pa.int32(), "1", "worker; -1 is the consumer's own process"),
        _field("batch", pa.int64(), "1", "batch it worked for; -1 during discovery, -2 for checkpoints"),
        _field("kind", pa.uint8(), "1", "operation kind, see ioprof.trace.kinds.Kind"),
        _field("start_ns", pa.int64(), "ns", "operation began"),
        _field("duration_ns", pa.int64(), "ns", "operation took"),
        _field("bytes", pa.int64(), "B", "bytes moved; 0 for metadata operations"),
        _field("object", pa.int64(), "1", "object index; -1 where it has none"),
        _field("client_hit", pa.bool_(), "1", "page cache held it all before; null: not asked", nullable=True),
        _field("error", pa.int32(), "1", "0, errno, or a code of ioprof.trace.kinds"),
        _field(
            "offset", pa.int64(), "B", "where in the object a read began; null: not known, or no read", nullable=True
        ),
        _field("direct", pa.bool_(), "1", "opened around the page cache; null: not known, or no open", nullable=True),
    ],
)

OPERATIONS = _schema(
    "operations",
    [
        _field("rank", pa.int32(), "1", "accelerator, from 0"),
        _field("worker", pa.int32(), "1", "worker; -1: the consumer's process, -2: discovery, below: checkpoints"),
        _field("phase", pa.uint8(), "1", "part of the run, see ioprof.trace.kinds.Phase"),
        _field("kind", pa.uint8(), "1", "operation kind, see ioprof.trace.kinds.Kind"),
        _field("count", pa.int64(), "1", "operations, failed ones included"),
        _field("bytes", pa.int64(), "B", "bytes moved"),
        _field("errors", pa.int64(), "1", "operations that failed"),
        _field("total_ns", pa.int64(), "ns", "sum of durations"),
        _field("min_ns", pa.int64(), "ns", "shortest"),
        _field("max_ns", pa.int64(), "ns", "longest"),
        _field("buckets", pa.list_(pa.int64()), "1", "counts per latency bucket, see ioprof.trace.histogram"),
    ],
)
"""Exact for every operation of the run, also where spans were sampled."""

HOST = _schema(
    "host",
    [
        _field("time_ns", pa.int64(), "ns", "when the values were read"),
        _field("metric", pa.dictionary(pa.int16(), pa.string()), "1", "name; its suffix is its unit"),
        _field("device", pa.dictionary(pa.int16(), pa.string()), "1", "disk, interface, CPU...; empty: the host"),
        _field("value", pa.float64(), "see metric", "gauge, or counter since boot where the name ends in _total"),
    ],
)

CHECKPOINTS = _schema(
    "checkpoints",
    [
        _field("rank", pa.int32(), "1", "accelerator whose state it is, from 0"),
        _field("step", pa.int64(), "1", "step after which the state was saved, position in the run from 0"),
        _field("kind", pa.uint8(), "1", "0: save, 1: restore"),
        _field("start_ns", pa.int64(), "ns", "the save was due, and the step loop stood still; the restore began"),
        _field("waited_ns", pa.int64(), "ns", "step loop stood still for the save before, which was not done yet"),
        _field("blocked_end_ns", pa.int64(), "ns", "the step loop went on; of a restore: it was read"),
        _field("durable_ns", pa.int64(), "ns", "all shards under their names, durable if asked", nullable=True),
        _field("bytes", pa.int64(), "B", "bytes of the files, all shards; 0 where the save failed"),
        _field("shards", pa.int32(), "1", "files of the save"),
        _field("mode", pa.uint8(), "1", "0: sync, the step loop waits; 1: background, it waits for a copy in memory"),
        _field("error", pa.int32(), "1", "0, errno (ECANCELED: the run ended), or a code of ioprof.trace.kinds"),
    ],
)
"""One row for each save and restore; ``durable_ns`` is null where there was none."""

OBJECTS = _schema(
    "objects",
    [
        _field("object", pa.int64(), "1", "object index, from 0 without gaps"),
        _field("path", pa.string(), "1", "its name, as it was opened"),
        _field("size_bytes", pa.int64(), "B", "how large it is; null: nobody asked", nullable=True),
    ],
)
"""Of runs whose dataset ioprof did not make: others compute the names of their objects."""

ADDED = {
    "batches": (
        "fetch_on_cpu_ns",
        "fetch_run_queue_ns",
        "minor_faults",
        "major_faults",
        "voluntary_switches",
        "involuntary_switches",
        "block_io_delay_ns",
        "accounted_every",
    ),
    "spans": ("offset", "direct"),
}
"""Nullable columns that runs of before they were kept do not have: read as null."""

TABLES = {
    "steps": STEPS,
    "batches": BATCHES,
    "checkpoints": CHECKPOINTS,
    "spans": SPANS,
    "operations": OPERATIONS,
    "host": HOST,
}
