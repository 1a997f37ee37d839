"""Rates of operations are of the measured steps: batches that were made for nobody are in none of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from trace_builder import MS, OVERHEAD, make_trace, operation_row, run_record, step_row

import ioprof
from ioprof.analysis.summarise import summarise
from ioprof.trace.kinds import Kind


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_short_run_counts_what_its_steps_got(tmp_path: Path) -> None:
    """Workers are eight batches ahead of twelve steps when they are told to stop: each sample is one read."""
    done = ioprof.run(
        {
            "workload": {"name": "small-files", "files": 200, "file_size": "4KiB"},
            "store": {"url": f"throttle+{tmp_path / 'store'}?latency.read=1ms"},
            "loader": {"name": "processes", "workers": 2, "prefetch": 4, "batch_size": 4},
            "accelerator": {"compute": "20ms"},
            "run": {"steps": 16, "warmup": 4, "probe": False, "cache": "warm", "results": str(tmp_path / "results")},
        }
    )
    summary = done.summary
    read = summary.operations["read"]
    assert read.count > 12 * 4
    assert summary.samples_per_s is not None
    assert read.per_s == pytest.approx(summary.samples_per_s)
    assert read.bytes_per_s == summary.bandwidth_bytes_per_s == pytest.approx(4096 * summary.samples_per_s)
    assert summary.iops == pytest.approx(3 * summary.samples_per_s)


@pytest.mark.parametrize(("made", "counted"), [(10, 640), (14, 640 * 10 / 14)])
def test_without_all_spans_batches_that_were_never_recorded_are_left_out(made: int, counted: float) -> None:
    """Of fourteen batches that were made ten reached a step: in so far the reads are theirs."""
    steps = [step_row(k, k * 100 * MS, k * 100 * MS, (k + 1) * 100 * MS) for k in range(10)]
    batches: list[dict[str, object]] = [{"rank": 0, "batch": k, "worker": 0, "samples": 64} for k in range(10)]
    overhead = OVERHEAD.model_copy(update={"batches": made})
    trace = make_trace(
        run_record(sample_every=4, overhead=overhead, busy_ns=100 * MS),
        steps=steps, batches=batches, operations=[operation_row(Kind.READ, [MS] * 640, size=4096)],
    )  # fmt: skip
    read = summarise(replace(trace, has_spans=True)).operations["read"]
    assert (read.count, read.per_s) == (640, pytest.approx(round(counted)))
