"""Where a mean batch's time went, stage by stage, in numbers and in words."""

from __future__ import annotations

import pytest
from trace_builder import MS, make_trace, run_record, step_row

from ioprof.analysis.stages import NOT_ACCOUNTED
from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import Summary
from ioprof.report.accounting import accounting_words

BATCH = {
    "fetch_start_ns": 0, "fetch_end_ns": 4 * MS, "collate_end_ns": 5 * MS, "storage_ns": 4 * MS, "prep_ns": 0,
    "on_cpu_ns": MS, "run_queue_ns": 3 * MS + MS // 5, "blocked_ns": MS - MS // 5,
    "fetch_on_cpu_ns": MS // 5, "fetch_run_queue_ns": 3 * MS + MS // 10,
    "minor_faults": 12, "major_faults": 1, "voluntary_switches": 3, "involuntary_switches": 2,
}  # fmt: skip


def summary_of(*changes: dict[str, object], **host: bool) -> Summary:
    """Return the summary of batches that differ from `BATCH` as told, on a host with these facts."""
    batches = [{**BATCH, "batch": number, **change} for number, change in enumerate(changes)]
    return summarise(make_trace(run_record(host=host), steps=[step_row(0, 0, 5, 10)], batches=batches))


def test_a_batch_is_told_as_read_of_which_so_much_was_waiting_for_a_cpu() -> None:
    """The sentence that says whether to buy disks or cores."""
    told = accounting_words(summary_of({}).cpu)
    assert told is not None
    assert told.startswith(
        "of 4 ms to read: 200 µs on a CPU, 3.10 ms waiting for a CPU, 700 µs blocked; "
        "of 1 ms to collate: 800 µs on a CPU, 100 µs waiting for a CPU, 100 µs blocked; 12.0 minor"
    )
    assert told.endswith("1.0 major page faults, 3.0 waits and 2.0 preemptions (mean of 1 batch)")


def test_the_parts_of_each_stage_sum_to_it() -> None:
    """On a CPU, waiting for one, blocked: nothing is left over and nothing counted twice."""
    cpu = summary_of({}, {"fetch_end_ns": 3 * MS + MS // 2}).cpu
    assert cpu.stages is not None and set(cpu.stages) == {"fetch", "collate"}
    for stage in cpu.stages.values():
        assert stage.run_queue_s_per_batch is not None and stage.blocked_s_per_batch is not None
        parts = stage.on_cpu_s_per_batch + stage.run_queue_s_per_batch + stage.blocked_s_per_batch
        assert parts == pytest.approx(stage.wall_s_per_batch)
    assert cpu.stages["fetch"].wall_s_per_batch == pytest.approx(3.75e-3)


def test_batches_that_were_not_accounted_are_no_part_of_the_means() -> None:
    """Where only one batch in some was looked at, the means are those of the ones looked at."""
    unknown = dict.fromkeys([name for name in BATCH if "cpu" in name or "queue" in name or "faults" in name])
    cpu = summary_of({}, {**unknown, "fetch_end_ns": 5 * MS}).cpu
    assert cpu.stages is not None and cpu.events_per_batch is not None
    assert cpu.stages["fetch"].wall_s_per_batch == pytest.approx(4e-3)
    assert cpu.events_per_batch.batches == 1


def test_without_scheduler_statistics_waiting_and_blocked_are_one() -> None:
    """What the thread's own clock says is known all the same; what is not, has its reason and is no 0."""
    summary = summary_of({"run_queue_ns": None, "fetch_run_queue_ns": None, "blocked_ns": None})
    told = accounting_words(summary.cpu)
    assert told is not None
    assert "200 µs on a CPU, 3.80 ms waiting for a CPU or blocked (which of them is not known here)" in told
    assert (summary.cpu.on_cpu_s, summary.cpu.run_queue_s, summary.cpu.blocked_s) == (MS / 1e9, None, None)
    for key in ("cpu.run_queue_s", "cpu.blocked_s", "cpu.stages.fetch.run_queue_s_per_batch"):
        assert "schedstat" in summary.reasons[key]


def test_block_io_is_told_where_the_kernel_counted_it() -> None:
    """It is a part of blocked; where it was off, the reason names the sysctl that turns it on."""
    counted = summary_of({"block_io_delay_ns": MS // 2}, delay_accounting=True)
    told = accounting_words(counted.cpu)
    assert told is not None and "700 µs blocked (500 µs of it by block I/O)" in told
    assert "cpu.stages.fetch.block_io_s_per_batch" not in counted.reasons
    for host, word in (({"delay_accounting": False}, "sudo sysctl kernel.task_delayacct=1"), ({}, "nobody looked")):
        uncounted = summary_of({}, **host)
        assert uncounted.cpu.stages is not None
        assert uncounted.cpu.stages["fetch"].block_io_s_per_batch is None
        assert word in uncounted.reasons["cpu.stages.fetch.block_io_s_per_batch"]


def test_decoding_is_named_where_there_was_some() -> None:
    """The fetch of a batch is reading and decoding; how long each took by the clock stands beside it."""
    summary = summary_of({"storage_ns": MS, "prep_ns": 3 * MS})
    told = accounting_words(summary.cpu)
    assert told is not None and told.startswith("of 4 ms to read and decode: ")
    assert summary.cpu.stages is not None
    fetch = summary.cpu.stages["fetch"]
    assert (fetch.storage_s_per_batch, fetch.prep_s_per_batch) == (MS / 1e9, 3 * MS / 1e9)


def test_a_run_of_before_stages_were_accounted_says_nothing_of_them() -> None:
    """Its report stays as it was."""
    summary = summary_of({name: None for name in BATCH if name.startswith("fetch_") and "cpu" in name})
    assert accounting_words(summary.cpu) is None
    assert summary.cpu.stages is summary.cpu.events_per_batch is None
    assert summary.reasons["cpu.stages"] == summary.reasons["cpu.events_per_batch"] == NOT_ACCOUNTED


def test_batches_accounted_more_rarely_count_for_as_many_as_they_stand_for() -> None:
    """Ten slow batches, all accounted, and 640 fast ones, one in 64: the mean is that of the 650, and so is the sum."""
    slow = {"fetch_end_ns": 90 * MS, "collate_end_ns": 90 * MS, "on_cpu_ns": 90 * MS, "fetch_on_cpu_ns": 90 * MS}
    fast = {"fetch_end_ns": 10 * MS, "collate_end_ns": 10 * MS, "on_cpu_ns": 2 * MS, "fetch_on_cpu_ns": 2 * MS}
    none = {"run_queue_ns": 0, "fetch_run_queue_ns": 0, "blocked_ns": 0}
    unaccounted = dict.fromkeys([name for name in BATCH if "cpu" in name or "queue" in name or "faults" in name])
    cpu = summary_of(
        *[slow | none | {"accounted_every": 1, "minor_faults": 650}] * 10,
        *[fast | none | {"accounted_every": 64, "minor_faults": 0}] * 10,
        *[fast | none | unaccounted] * 630,
    ).cpu
    assert cpu.stages is not None and cpu.events_per_batch is not None
    assert cpu.stages["fetch"].wall_s_per_batch == pytest.approx((10 * 90e-3 + 640 * 10e-3) / 650)
    assert cpu.events_per_batch.minor_faults == pytest.approx(10.0)
    assert cpu.on_cpu_s == pytest.approx(10 * 90e-3 + 640 * 2e-3)
    assert cpu.blocked_s == pytest.approx(640 * 8e-3)
    assert cpu.accounted_ratio == pytest.approx((900 + 100) / (900 + 6400))


def test_no_stage_has_more_parts_than_it_lasted() -> None:
    """A worker that lost its CPU between a stamp and the kernel's counters waited outside the stage."""
    late = {"on_cpu_ns": MS // 2, "run_queue_ns": 9 * MS, "fetch_on_cpu_ns": MS // 5, "fetch_run_queue_ns": 5 * MS}
    cpu = summary_of(late, {**late, "fetch_on_cpu_ns": 6 * MS, "on_cpu_ns": 8 * MS}).cpu
    assert cpu.stages is not None
    for stage in cpu.stages.values():
        assert stage.run_queue_s_per_batch is not None and stage.blocked_s_per_batch is not None
        parts = stage.on_cpu_s_per_batch + stage.run_queue_s_per_batch + stage.blocked_s_per_batch
        assert parts == pytest.approx(stage.wall_s_per_batch)
    assert None not in (cpu.on_cpu_s, cpu.run_queue_s, cpu.blocked_s)
    assert sum(part or 0.0 for part in (cpu.on_cpu_s, cpu.run_queue_s, cpu.blocked_s)) == pytest.approx(10e-3)
