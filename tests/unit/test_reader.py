"""A run directory read back: finished, killed, damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from trace_builder import run_record

from ioprof.analysis.summarise import summarise
from ioprof.errors import RunDirectoryError
from ioprof.trace import finish
from ioprof.trace.finish import finish_tables, read_raw, remove_raw, with_raw_facts
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.liveness import KILLED, held
from ioprof.trace.opsfile import Header
from ioprof.trace.probe_record import PROBE_JSON
from ioprof.trace.raw import EPOCHS
from ioprof.trace.reader import load_trace
from ioprof.trace.recorder import Recorder
from ioprof.trace.recordlog import RecordLog
from ioprof.trace.rundir import RAW, write_run_json
from ioprof.trace.schema import ADDED, BATCHES, HOST, STEPS, TABLES
from ioprof.trace.trace import Trace

STEP = (0, 0, 0, 0, 0, 8, 4096, 100, 200, 210, 210, 300)
BATCH = (0, 0, 0, 0, -1, 110, 150, 160, 200, 30, -1, 10, 5, 35, 9, 4, 12, 1, 3, 0, -1, 8, 4096, 0, -1, 1)


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    """Return the directory of a run whose process died in its second epoch."""
    directory = tmp_path / "run"
    raw = directory / RAW
    raw.mkdir(parents=True)
    write_run_json(directory, run_record().model_copy(update={"outcome": "running"}))
    steps, batches, epochs = (
        RecordLog(raw / f"{name}-0.log", schema)
        for name, schema in (("steps", STEPS), ("batches", BATCHES), ("epochs", EPOCHS))
    )
    for event in ((0, 0, 90), (0, 1, 190), (1, 0, 195)):
        epochs.append(*event)
    steps.append(*STEP)
    batches.append(*BATCH)
    recorder = Recorder(str(raw), rank=0, worker=0, span_budget=1000)
    recorder.begin(int(Phase.STEADY), batch=0)
    recorder.record(Kind.GET, 110, 140, 4096, 3, 0)
    recorder.close()
    return directory


def test_a_run_whose_process_is_at_work_is_not_called_killed(killed: Path) -> None:
    """As long as the recording process holds its directory the run is running, and after that it is not."""
    with held(killed):
        trace = load_trace(killed)
        assert (trace.run.outcome, trace.run.reason) == ("running", None)
        assert summarise(trace).caveats[0].startswith("The run is still going on: ")
    assert load_trace(killed).run.outcome == "interrupted"


def _contents(trace: Trace) -> list[list[dict[str, object]]]:
    spans = [row for chunk in trace.spans() for row in chunk.to_pylist()]
    return [trace.steps.to_pylist(), trace.batches.to_pylist(), trace.operations.to_pylist(), spans]


def test_a_killed_run_reads_as_interrupted_with_all_it_had_recorded(killed: Path) -> None:
    """The outcome says so, the second epoch ends with its last step, and nothing is written."""
    before = sorted(path.name for path in killed.rglob("*"))
    trace = load_trace(killed)
    assert (trace.run.outcome, trace.run.reason) == ("interrupted", KILLED)
    assert [(epoch.epoch, epoch.start_ns, epoch.end_ns) for epoch in trace.run.epochs] == [(0, 90, 190), (1, 195, 300)]
    steps, batches, operations, spans = _contents(trace)
    assert [tuple(row.values()) for row in steps] == [STEP]
    assert batches[0]["dispatch_ns"] is batches[0]["prep_ns"] is batches[0]["client_hit_bytes"] is None
    assert batches[0]["fetch_start_ns"] == 110
    assert (operations[0]["count"], operations[0]["bytes"], spans[0]["object"]) == (1, 4096, 3)
    assert sorted(path.name for path in killed.rglob("*")) == before


def test_finishing_a_run_changes_the_files_and_not_the_facts(killed: Path) -> None:
    """Tables hold what the raw files held; the raw files are gone; every table has its schema."""
    before = _contents(load_trace(killed))
    finish_tables(killed, read_raw(killed))
    assert _contents(load_trace(killed)) == before
    remove_raw(killed)
    assert not list(killed.glob(f"{RAW}*"))
    assert _contents(load_trace(killed)) == before
    for name, schema in TABLES.items():
        found = pq.read_schema(killed / f"{name}.parquet")
        assert found.names == schema.names
        assert found.metadata[b"ioprof_table"] == name.encode()
        for field in found:
            assert field.metadata[b"unit"], field.name
            assert field.metadata[b"meaning"], field.name


def test_tables_that_cannot_be_written_leave_the_raw_files(killed: Path) -> None:
    """The run still reads as before."""
    before = _contents(load_trace(killed))
    (killed / "operations.new").mkdir()
    with pytest.raises(OSError, match="operations"):
        finish_tables(killed, read_raw(killed))
    assert (killed / RAW).is_dir()
    assert _contents(load_trace(killed)) == before


DAMAGES = ["missing", "empty", "truncated", "a column less"]


def _damage(path: Path, how: str) -> None:
    if how == "missing":
        path.unlink()
    elif how == "a column less":
        table = pq.read_table(path)
        pq.write_table(table.drop_columns([table.schema.names[0]]), path)
    else:
        path.write_bytes(path.read_bytes()[:-20] if how == "truncated" else b"")


@pytest.mark.parametrize("name", ["steps", "batches", "operations"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_table_is_refused_in_one_line(killed: Path, name: str, damage: str) -> None:
    """The file is named; there is no traceback and no half result."""
    finish_tables(killed, read_raw(killed))
    remove_raw(killed)
    _damage(killed / f"{name}.parquet", damage)
    with pytest.raises(RunDirectoryError) as caught:
        load_trace(killed)
    assert str(killed / f"{name}.parquet") in str(caught.value)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_host_series_that_cannot_be_read_is_a_caveat(killed: Path, damage: str) -> None:
    """Steps, batches and operations tell what they tell without it."""
    finish_tables(killed, read_raw(killed))
    remove_raw(killed)
    _damage(killed / "host.parquet", damage)
    trace = load_trace(killed)
    assert trace.steps.num_rows == 1
    assert trace.host is not None
    assert trace.host.num_rows == 0
    assert any(str(killed / "host.parquet") in caveat for caveat in trace.run.caveats)


@pytest.mark.parametrize("content", ["{", '{"format": 99}'])
def test_a_probe_that_cannot_be_read_takes_nothing_else_along(killed: Path, content: str) -> None:
    """The run reads as ever; its ceiling and baselines are unknown because of that file."""
    record = with_raw_facts(load_trace(killed).run, read_raw(killed))
    finish_tables(killed, read_raw(killed))
    write_run_json(killed, record)
    remove_raw(killed)
    whole = summarise(load_trace(killed))
    (killed / PROBE_JSON).write_text(content)
    summary = summarise(load_trace(killed))
    assert (summary.steps, summary.samples_per_s) == (whole.steps, whole.samples_per_s)
    assert (summary.ceiling, summary.baselines.transport_samples_per_s) == (None, None)
    for key in ("ceiling", "ceiling_samples_per_s", "baselines.transport_samples_per_s"):
        assert summary.reasons[key].startswith(f"{killed / PROBE_JSON}: ")
    assert any(str(killed / PROBE_JSON) in caveat for caveat in summary.caveats)


def test_a_run_of_before_a_column_was_kept_reads_with_nulls(killed: Path) -> None:
    """Columns that came later are not known for it; the rest is as it was."""
    before = load_trace(killed).batches.to_pylist()
    finish_tables(killed, read_raw(killed))
    remove_raw(killed)
    path = killed / "batches.parquet"
    pq.write_table(pq.read_table(path).drop_columns(list(ADDED["batches"])), path)
    after = load_trace(killed).batches.to_pylist()
    assert [row | dict.fromkeys(ADDED["batches"]) for row in before] == after


def test_spans_lost_to_a_full_disk_are_counted_over_all_processes(killed: Path) -> None:
    """A killed run tells it when it is read, a finished one in run.json; it is said in one place."""
    Recorder(str(killed / RAW), rank=0, worker=1, span_budget=1000).close()
    for path, lost in zip(sorted((killed / RAW).glob("ops-*.ops")), (3, 4), strict=True):
        np.memmap(path, dtype=np.int64, mode="r+")[Header.LOST_RECORDS] = lost
    run = load_trace(killed).run
    assert run.dropped_spans == 7
    assert not any("was full" in caveat for caveat in run.caveats)
    found = read_raw(killed)
    finish_tables(killed, found)
    write_run_json(killed, with_raw_facts(run_record(), found))
    remove_raw(killed)
    assert load_trace(killed).run.dropped_spans == 7


def test_the_samplers_file_is_parsed_once_however_often_its_rows_are_asked_for(
    killed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It grows with the run: a second pass over it would be paid for at the end of every long one."""
    parsed: list[Path] = []
    monkeypatch.setattr(finish, "read_host_raw", lambda path: parsed.append(path) or HOST.empty_table())
    found = read_raw(killed)
    with_raw_facts(run_record(), found)
    finish_tables(killed, found)
    assert len(parsed) == 1
    load_trace(killed)
    assert len(parsed) == 2


def test_a_run_without_spans_reads_as_one_with_none(killed: Path) -> None:
    """Published runs drop them."""
    finish_tables(killed, read_raw(killed))
    remove_raw(killed)
    assert load_trace(killed).has_spans
    (killed / "spans.parquet").unlink()
    trace = load_trace(killed)
    assert not trace.has_spans
    assert list(trace.spans()) == []


def test_damaged_spans_are_refused_when_they_are_read(killed: Path) -> None:
    """They are streamed, so only then."""
    finish_tables(killed, read_raw(killed))
    remove_raw(killed)
    (killed / "spans.parquet").write_bytes(b"PAR1 nonsense PAR1")
    with pytest.raises(RunDirectoryError, match=r"spans\.parquet: cannot be read"):
        list(load_trace(killed).spans())


def test_raw_files_that_cannot_be_read_become_caveats(killed: Path) -> None:
    """The steps still stand; what is lost is said."""
    next((killed / RAW).glob("*.ops")).write_bytes(b"torn")
    trace = load_trace(killed)
    assert trace.steps.num_rows == 1
    assert trace.operations.num_rows == 0
    assert any("operations of one process are lost" in caveat for caveat in trace.run.caveats)


def test_a_table_that_was_not_copied_is_named(killed: Path) -> None:
    """Which one, and what to do."""
    finish_tables(killed, read_raw(killed))
    remove_raw(killed)
    (killed / "steps.parquet").unlink()
    with pytest.raises(RunDirectoryError, match=r"steps\.parquet: missing; copy the run directory whole"):
        load_trace(killed)


def test_spans_are_streamed_anew_each_time(killed: Path) -> None:
    """An analysis may pass over them twice."""
    for _ in range(2):
        trace = load_trace(killed)
        assert len(pa.Table.from_batches(trace.spans())) == len(pa.Table.from_batches(trace.spans())) == 1
        if (killed / RAW).exists():
            finish_tables(killed, read_raw(killed))
    remove_raw(killed)


def test_a_run_that_was_killed_while_its_raw_files_went_still_reads(killed: Path) -> None:
    """They lose their name in one step, so a reader sees all of them or the tables."""
    before = _contents(load_trace(killed))
    finish_tables(killed, read_raw(killed))
    (killed / RAW).rename(killed / f"{RAW}.done")
    next((killed / f"{RAW}.done").glob("steps-*")).unlink()
    assert _contents(load_trace(killed)) == before


def test_a_corrupt_file_of_the_sampler_costs_the_host_series_and_nothing_else(killed: Path) -> None:
    """The run reads, and says what is missing."""
    (killed / RAW / "host.raw").write_bytes(b"rubbish")
    trace = load_trace(killed)
    assert trace.steps.num_rows == 1
    assert any("host's counters are missing" in caveat for caveat in trace.run.caveats)
