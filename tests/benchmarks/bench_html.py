"""How large the page of a long run is, how long writing it takes, and how long a browser takes to open it.

python tests/benchmarks/bench_html.py [STEPS]      1,000,000 unless given; goals: 8 MB, 5 s, 2 s
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from ioprof.analysis.summarise import summarise
from ioprof.report.html.run_page import run_page, write_page
from ioprof.trace import schema
from ioprof.trace.kinds import Kind
from ioprof.trace.trace import Trace
from tests.browser.browser import missing, opened
from tests.unit.trace_builder import MS, make_trace, operation_row, run_record

ROUNDS = 5


def long_run(steps: int) -> Trace:
    """Return a run of so many steps with waits of every length."""
    random = np.random.default_rng(1)
    wait, busy = (random.lognormal(13, 1.0, steps)).astype(np.int64), np.full(steps, 5 * MS)
    start = np.concatenate([[0], np.cumsum(wait + busy)[:-1]])
    number = np.arange(steps)
    columns = {
        "step": number, "batch": number, "worker": number % 4, "samples": np.full(steps, 64), "wait_start_ns": start,
        "wait_end_ns": start + wait, "h2d_end_ns": start + wait, "busy_start_ns": start + wait,
        "busy_end_ns": start + wait + busy,
    }  # fmt: skip
    made = {
        "batch": number, "worker": number % 4, "dispatch_ns": start, "fetch_start_ns": start + 1,
        "samples": np.full(steps, 64),
        "fetch_end_ns": start + wait // 2 + 2, "collate_end_ns": start + wait // 2 + 3, "received_ns": start + wait,
        "storage_ns": wait // 2, "prep_ns": np.zeros(steps),
    }  # fmt: skip
    record = run_record(busy_ns=5 * MS)
    trace = make_trace(record, operations=[operation_row(Kind.READ, wait[:1000].tolist(), size=4096)])
    return Trace(
        run=trace.run, steps=_table(schema.STEPS, columns, steps), batches=_table(schema.BATCHES, made, steps),
        operations=trace.operations, host=None, spans=trace.spans,
    )  # fmt: skip


def _table(kind: pa.Schema, columns: dict[str, np.ndarray], rows: int) -> pa.Table:
    arrays = []
    for field in kind:
        found = columns.get(field.name)
        empty = pa.nulls(rows, field.type) if field.nullable else pa.array(np.zeros(rows), field.type)
        arrays.append(empty if found is None else pa.array(found).cast(field.type))
    return pa.Table.from_arrays(arrays, schema=kind)


def main() -> None:
    """Print size and times, the slowest of each."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    trace = long_run(steps)
    summary = summarise(trace)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        written, open_s = [], []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            write_page(path, run_page(trace, summary))
            written.append(time.perf_counter() - started)
        for number in range(0 if missing() else ROUNDS):
            with opened(path, width=1440, profile=Path(folder) / f"profile-{number}") as page:
                page.draw_all()
                open_s.append(page.opened_s)
        print(f"{steps:,} steps: {path.stat().st_size / 1e6:.2f} MB (goal 8)")
        print(f"written in {np.median(written):.2f} s, slowest {max(written):.2f} s of {ROUNDS} (goal 5)")
        told = missing() or f"{np.median(open_s):.2f} s, slowest {max(open_s):.2f} s of {ROUNDS} (goal 2)"
        print(f"opened in headless Chromium: {told}")


if __name__ == "__main__":
    main()
