"""The report on a terminal: snapshots of whole runs, and what must hold for any width and any run."""

from __future__ import annotations

import dataclasses
import io
import os
import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console
from trace_builder import MS, OVERHEAD, Pipeline, S, kernel_io, make_trace, operation_row, run_record

from ioprof.analysis.answer import verdict_alone
from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import Finding, Summary
from ioprof.cli.report import print_report
from ioprof.report.answer import next_command
from ioprof.report.host_missing import not_recorded_lines
from ioprof.report.terminal import render
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.run_record import AcceleratorRecord, CacheRecord, EpochRecord, RunRecord
from ioprof.trace.schema import HOST, SPANS
from ioprof.trace.trace import Trace

SNAPSHOTS = Path(__file__).parent / "snapshots"
UPDATE = "IOPROF_UPDATE_SNAPSHOTS"
"""Set this variable to write the snapshots anew; then read the diff."""

ESTIMATED = AcceleratorRecord(
    name="L40S", count=1, busy_ns_per_batch=21 * MS, source="A100 / 1.7 (vendor claim)", is_estimate=True,
    h2d_bytes_per_s=32e9,
)  # fmt: skip


def recorded(pipeline: Pipeline, run: RunRecord, *, open_ns: float, read_ns: float) -> Trace:
    """Return a pipeline's run with operations around the given medians, and a host that was 61 % busy."""
    rng = np.random.default_rng(3)
    count = 64 * (len(pipeline.fetch) - run.warmup_steps)
    steps, batches = pipeline.rows()
    operations = [
        operation_row(kind, (rng.lognormal(0, 0.6, count) * median).astype(np.int64).tolist(), size=size)
        for kind, median, size in (
            (Kind.OPEN, open_ns, 0), (Kind.READ, read_ns, 4096), (Kind.CLOSE, 2_000, 0),
            (Kind.DECODE, 31_000, 0),
        )
    ]  # fmt: skip
    operations.append(operation_row(Kind.LIST, [5 * MS] * 10, phase=Phase.DISCOVERY, worker=-2))
    end = pipeline.makespan_ns()
    run = run.model_copy(update={"epochs": [EpochRecord(epoch=0, start_ns=0, end_ns=end + 30 * MS)]})
    rows = [
        {"time_ns": time, "metric": metric, "device": device, "value": value}
        for time, metric, device, value in (
            (0, "cpu_busy_s_total", "", 0.0), (end, "cpu_busy_s_total", "", end / 1e9 * 2 * 0.61),
            (0, "core_busy_s_total", "cpu0", 0.0), (0, "core_busy_s_total", "cpu1", 0.0),
        )
    ]  # fmt: skip
    host = pa.Table.from_pylist(rows, schema=HOST)
    trace = make_trace(run, steps=steps, batches=batches, operations=operations, host=host)
    return dataclasses.replace(trace, spans=lambda: iter([spans_of(operations)]))


def spans_of(operations: list[dict[str, object]]) -> pa.RecordBatch:
    """Return a span for every operation, with nothing in it but its kind."""
    kinds = [kind for row in operations for kind in [row["kind"]] * int(row["count"])]  # type: ignore[call-overload]
    zeros = np.zeros(len(kinds), np.int64)
    columns = [pa.array(kinds if field.name == "kind" else zeros).cast(field.type) for field in SPANS]
    return pa.RecordBatch.from_arrays(columns, schema=SPANS)


def discovered(run: RunRecord, seconds: float) -> RunRecord:
    """Return the run with a discovery before its first step."""
    workload = run.workload.model_copy(update={"discovery_s": seconds, "discovered": 20_000})
    return run.model_copy(update={"workload": workload, "run_start_ns": -round(seconds * S)})


def lognormal(median_ns: float, count: int) -> list[int]:
    """Return reproducible durations."""
    return list((np.random.default_rng(5).lognormal(0, 0.4, count) * median_ns).astype(int).tolist())


def starved() -> Trace:
    """A cold run on slow storage, on an accelerator whose step time is an estimate."""
    run = run_record(
        warmup_steps=5, accelerator=ESTIMATED, overhead=OVERHEAD,
        kernel_io=kernel_io(tapped=52_428_800, pages=52_428_800, read=53_000_000), sample_every=4,
    )  # fmt: skip
    pipeline = Pipeline(
        fetch=lognormal(60 * MS, 205), prep=lognormal(8 * MS, 205), compute=[21 * MS] * 205, collate=MS,
        ipc=MS // 2, unwrap=MS // 3, h2d=MS // 5,
    )  # fmt: skip
    return recorded(pipeline, discovered(run, 0.4), open_ns=300_000, read_ns=600_000)


def healthy() -> Trace:
    """A run that keeps its accelerator fed, but from the page cache, which was left as it was."""
    run = run_record(
        busy_ns=50 * MS, warmup_steps=5, kernel_io=kernel_io(tapped=52_428_800, read=1_000_000),
        cache=CacheRecord(requested="asis"), overhead=OVERHEAD,
        command=["ioprof", "run", "small-files", "--workers", "4"],
    )  # fmt: skip
    pipeline = Pipeline(fetch=[2 * MS] * 205, prep=[8 * MS] * 205, compute=[50 * MS] * 205, unwrap=MS // 5)
    return recorded(pipeline, discovered(run, 0.05), open_ns=6_000, read_ns=9_000)


def unconsumed() -> Trace:
    """No accelerator: rates only."""
    run = run_record(busy_ns=None, warmup_steps=5, kernel_io=kernel_io(), overhead=OVERHEAD)
    pipeline = Pipeline(fetch=[9 * MS] * 100, prep=[2 * MS] * 100, compute=[0] * 100)
    return recorded(pipeline, run, open_ns=60_000, read_ns=90_000)


def stillborn() -> Trace:
    """Interrupted before the first batch."""
    return make_trace(run_record(outcome="interrupted", reason="SIGINT received"))


RUNS = {"starved": starved, "healthy": healthy, "none": unconsumed, "interrupted": stillborn}


def shown(trace: Trace, width: int) -> str:
    """Return what a console without colours shows of a run."""
    return printed(summarise(trace, verdict_alone), trace.run, width)


def printed(summary: Summary, run: RunRecord, width: int) -> str:
    """Return what it shows of a summary."""
    console = Console(file=io.StringIO(), width=width, no_color=True, highlight=False)
    print_report(summary, run, console=console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("name", RUNS)
def test_the_report_reads_as_it_was_approved(name: str, width: int) -> None:
    """Any change of the words or the layout shows up as a change of a text file."""
    text, snapshot = printed(*SUMMARIES[name], width), SNAPSHOTS / f"report_{name}_{width}.txt"
    if os.environ.get(UPDATE):
        snapshot.write_text(text, encoding="utf-8")
    assert text == snapshot.read_text(encoding="utf-8")


@given(st.integers(60, 200), st.sampled_from(sorted(RUNS)))
@settings(deadline=None, max_examples=25)
def test_no_line_is_wider_than_the_terminal(width: int, name: str) -> None:
    """From 80 columns on nothing is cut or wrapped by the terminal; below, only the table sticks out."""
    summary, run = SUMMARIES[name]
    lines = render(summary, run, width)
    assert max(len(line.plain) for line in lines) <= max(width, 80)


OFFERED = (
    Finding(
        id="more-workers", severity="high", cost="free: a flag", evidence={"workers": 2, "gain_ratio": 1.72},
        action="4 workers instead of 2", command="ioprof run small-files --workers 4",
        predicted_accelerator_utilization=0.953, predicted_accelerator_utilization_ci95=(0.884, 0.99),
        predicted_samples_per_s=2904.0, predicted_samples_per_s_ci95=(2702.0, 3032.0), outside=("Not probed.",),
    ),
    Finding(
        id="larger-objects", severity="low", cost="other format", evidence={"opens_per_sample": 1, "gain_ratio": 1.1},
        action="many samples in each object (shards): no stat, open and close for every one", command=None,
        predicted_accelerator_utilization=0.0612, predicted_accelerator_utilization_ci95=(0.058, 0.064),
    ),
)  # fmt: skip


def answered(name: str) -> tuple[Summary, RunRecord]:
    """Return a run with its summary; what would help is given here, and is no matter of the model that predicts it."""
    trace = RUNS[name]()
    offered = OFFERED if name == "starved" else ()
    return dataclasses.replace(summarise(trace, verdict_alone), findings=offered), trace.run


SUMMARIES = {name: answered(name) for name in RUNS}


def test_the_parts_on_the_screen_add_up_to_the_idle_time() -> None:
    """What is printed sums to what is printed, to rounding."""
    lines = printed(*SUMMARIES["starved"], 80).splitlines()
    idle = next(line for line in lines if "accelerator idle" in line)
    parts = lines[lines.index(idle) + 1 : lines.index("", lines.index(idle))]
    # Causes are part of their group's line, and stand further in; words go on far to the right.
    parts = [line for line in parts if re.match(r" {4}\w", line)]
    told = [float(line.split("%")[0].split()[-1]) for line in (idle, *parts)]
    assert told[0] == pytest.approx(sum(told[1:]), abs=0.05 * len(told))
    assert any("unexplained" in line for line in parts)


def test_a_command_is_offered_only_where_the_cache_hid_the_store() -> None:
    """The page cache served it all and nobody asked for that: measure the store instead."""
    commands = {name: next_command(*pair) for name, pair in SUMMARIES.items()}
    offered = commands.pop("healthy")
    assert offered is not None
    assert offered.startswith("ioprof run small-files --workers 4 --cache cold")
    assert set(commands.values()) == {None}


def test_an_old_cache_flag_is_replaced_not_repeated() -> None:
    """`--cache asis` in the command gives way to `--cache cold`."""
    summary, run = SUMMARIES["healthy"]
    for flags in (["--cache", "asis"], ["--cache=asis"]):
        offered = next_command(summary, run.model_copy(update={"command": ["ioprof", "run", "small-files", *flags]}))
        assert offered is not None
        assert offered.startswith("ioprof run small-files --cache cold ")


def test_long_runs_are_told_in_minutes() -> None:
    """Long durations read as minutes, not as five-digit seconds."""
    pipeline = Pipeline(fetch=[500 * S] * 30, prep=[MS] * 30, compute=[S] * 30)
    assert "min" in shown(pipeline.trace(), 80)


def test_a_cold_cache_that_was_not_made_is_no_cold_in_the_header() -> None:
    """The first line never claims what was not done."""
    cache = CacheRecord(requested="cold", note="not a local path")
    text = shown(make_trace(run_record(cache=cache)), 200)
    assert "cold asked, not applied (not a local path)" in text.splitlines()[0]


def test_the_hosts_cpus_are_not_called_the_workers_time() -> None:
    """Without any accounted batch there is only the host's own figure."""
    trace = starved()
    empty = trace.batches
    for name in ("on_cpu_ns", "run_queue_ns", "blocked_ns", "fetch_on_cpu_ns"):
        place = empty.schema.get_field_index(name)
        empty = empty.set_column(place, empty.schema.field(name), pa.nulls(empty.num_rows, pa.int64()))
    text = shown(dataclasses.replace(trace, batches=empty), 120)
    assert "workers' time  " not in text
    assert "  host            all CPUs of the host 61.0 % busy" in text


def test_series_of_the_host_that_are_missing_are_told_by_reason_and_folded() -> None:
    """Containers without pressure files, schedstat and more: one line, not one for each."""
    psi = {f"psi_{kind}_*": "no /proc/pressure" for kind in ("cpu", "io")}
    more = {"run_queue_s_total": "no schedstat", "tree_*": "no children", "disk_*": "no diskstats"}
    (line,) = not_recorded_lines(psi | more, 200)
    assert line.plain.split(maxsplit=2)[2] == (
        "of the host: psi_cpu_*, psi_io_* (no /proc/pressure); run_queue_s_total (no schedstat); "
        "and 2 more in --json (host_missing)"
    )
    assert not_recorded_lines({}, 80) == []
