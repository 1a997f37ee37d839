"""A recorded run, repeated: the same operations on the same objects, on another store, under other names."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import sys
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ioprof import api, capture
from ioprof.cli.replay import replay_command
from ioprof.dataset.prepare import prepare
from ioprof.errors import RunError, StoreFullError, UsageError
from ioprof.replay.replaying import Asked, plan_replay, run_replay
from ioprof.report.terminal import render
from ioprof.runner.interrupt import Interrupted, interruptible
from ioprof.runner.observer import Silent
from ioprof.store.base import Capacity
from ioprof.store.local import LocalStore
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.object_table import write_objects
from ioprof.trace.raw import raw_processes, raw_spans
from ioprof.trace.reader import load_trace
from ioprof.trace.recorder import Recorder
from ioprof.trace.replay_record import read_replay
from ioprof.trace.sampling import is_sampled

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
    pytest.mark.filterwarnings(r"ignore:\d+ workers on .*:ioprof.errors.CaveatWarning"),
]
READING = (Kind.OPEN, Kind.READ, Kind.CLOSE)


def _run(folder: Path, workload: str, **params: object) -> Path:
    run = {"duration": None, "epochs": 1, "warmup": 1, "probe": False, "results": str(folder / "results")}
    spec = {
        "workload": {"name": workload, **params},
        "store": {"url": str(folder / "data")},
        "loader": {"name": "processes", "workers": 2, "batch_size": 8},
        "accelerator": {"name": "none"},
        "run": {key: value for key, value in run.items() if value is not None},
    }
    return api.run(spec).directory


@pytest.fixture(scope="module")
def files_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over small files of different sizes."""
    folder = tmp_path_factory.mktemp("files")
    return _run(folder, "small-files", files=80, file_size="uniform:1KiB-20KiB", files_per_dir=30)


@pytest.fixture(scope="module")
def records_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run over records of large files, which are kept open."""
    folder = tmp_path_factory.mktemp("records")
    return _run(folder, "record-reads", files=2, file_size="1MiB", record_size="16KiB")


def _copy(directory: Path, to: Path) -> Path:
    return Path(shutil.copytree(directory, to / directory.name))


def _replay(directory: Path, folder: Path, **asked: object) -> api.Run:
    store = str(asked.pop("store_url", folder / "there"))
    replay = plan_replay(directory, Asked(store_url=store, results=str(folder / "results"), **asked))
    prepared = prepare(replay.store, replay.staging.name, replay.staging.layout, workers=0)
    return run_replay(replay, prepared, ["ioprof", "replay", str(directory)], Silent())


def _done(directory: Path, *kinds: Kind) -> Counter[tuple[int, int, int | None, int]]:
    """Return how often each kind of operation was done with each object, offset and length."""
    rows = [row for batch in load_trace(directory).spans() for row in batch.to_pylist()]
    return Counter(
        (row["kind"], row["object"], row["offset"], row["bytes"])
        for row in rows
        if row["kind"] in (kinds or READING) and not row["error"]
    )


@pytest.mark.parametrize("pace", ["closed", "open", "fastest"])
@pytest.mark.parametrize("name", ["files_run", "records_run"])
def test_every_operation_is_repeated_at_its_place(
    pace: str, name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Whatever the pace: the same objects, offsets and lengths, each as often; and the report says so."""
    source: Path = request.getfixturevalue(name)
    done = _replay(source, tmp_path, pace=pace)
    if pace == "open":
        # Processes that take turns each open a file that one worker kept open.
        assert _done(done.directory, Kind.READ) == _done(source, Kind.READ)
    else:
        assert _done(done.directory) == _done(source)
    found = done.summary.replay
    assert found is not None
    assert (found.source, found.pace, done.record.loader) == (source.name, pace, f"replay-{pace}")
    read = found.operations["read"]
    assert read.recorded is not None and read.replayed is not None
    assert (read.recorded.count, read.recorded.bytes) == (read.replayed.count, read.replayed.bytes)
    assert (found.issue_times is None) == (pace != "open")
    told = " ".join(line.plain.strip() for line in render(done.summary, done.record, 100))
    assert source.name in told
    assert done.summary.verdict.sentence.split()[0] in told
    assert api.load(done.directory).summary.replay == found


def test_discovery_lists_and_stats_as_it_did(files_run: Path, tmp_path: Path) -> None:
    """Before the lanes begin, and apart from them."""
    done = _replay(files_run, tmp_path)
    before = api.load(files_run).summary.discovery.operations
    assert {kind: one.count for kind, one in done.summary.discovery.operations.items()} == {
        kind: one.count for kind, one in before.items()
    }


def test_lanes_start_by_any_method(files_run: Path, tmp_path: Path) -> None:
    """All that they need travels by pickle."""
    done = _replay(files_run, tmp_path, pace="fastest", start_method="spawn")
    assert _done(done.directory) == _done(files_run)


def test_an_object_store_is_asked_for_the_same_bytes(records_run: Path, tmp_path: Path) -> None:
    """Open and close have no counterpart there, which is told."""
    done = _replay(records_run, tmp_path, pace="fastest", store_url=f"file://{tmp_path}/far")
    asked = {(obj, offset, size) for _, obj, offset, size in _done(done.directory, Kind.GET)}
    assert asked == {(obj, offset, size) for _, obj, offset, size in _done(records_run, Kind.READ)}
    assert any("This store has no open files" in caveat for caveat in done.summary.caveats)


def _with_names(directory: Path, folder: Path) -> Path:
    """Return a copy of a run over objects that ioprof did not make."""
    copy = _copy(directory, folder)
    paths = [f"/secret-project/patients/{number % 7}/miller-{number}.dcm" for number in range(80)]
    write_objects(copy, paths, [30_000 if number % 2 else None for number in range(80)])
    return copy


def test_a_stand_in_has_the_names_and_at_least_the_sizes_of_the_objects(files_run: Path, tmp_path: Path) -> None:
    """As large as was asked for where the run knows; else as large as what was read."""
    done = _replay(_with_names(files_run, tmp_path), tmp_path, pace="fastest")
    (root,) = (path for path in (tmp_path / "there").iterdir() if path.name.startswith("stand-in"))
    assert (root / "3" / "miller-3.dcm").stat().st_size == 30_000
    read = {obj: size for _, obj, _, size in _done(files_run, Kind.READ)}
    assert (root / "4" / "miller-4.dcm").stat().st_size == read[4]
    assert any("Of 40 objects the run does not know the size" in caveat for caveat in done.summary.caveats)
    assert sum(_done(done.directory, Kind.READ).values()) == 80


def test_hidden_names_are_nowhere(files_run: Path, tmp_path: Path) -> None:
    """Neither on the store nor in the new run directory, the recorded run's own name included."""
    source = _with_names(files_run, tmp_path)
    done = _replay(source, tmp_path, pace="fastest", anonymise=True)
    words = (b"secret", b"patients", b"miller", b"dcm", source.name.encode())
    files = [path for top in (tmp_path / "there", done.directory) for path in top.rglob("*")]
    assert len(files) > 80
    for path in files:
        relative = path.relative_to(tmp_path).as_posix().encode()
        content = path.read_bytes() if path.is_file() else b""
        assert not [word for word in words if word in relative or word in content], path
    assert done.summary.replay is not None and done.summary.replay.source is None


def test_offsets_of_before_they_were_kept_are_front_to_back(records_run: Path, tmp_path: Path) -> None:
    """The bytes are as many; where they lay is said not to be known."""
    copy = _copy(records_run, tmp_path)
    spans = pq.read_table(copy / "spans.parquet").drop_columns(["offset", "direct"])
    pq.write_table(spans, copy / "spans.parquet")
    done = _replay(copy, tmp_path, pace="fastest")
    assert any("repeated front to back" in caveat for caveat in done.summary.caveats)
    assert Counter(size for _, _, _, size in _done(done.directory, Kind.READ).elements()) == Counter(
        size for _, _, _, size in _done(records_run, Kind.READ).elements()
    )


def test_a_run_that_does_not_say_which_objects_it_read_has_one_for_each_opening(
    files_run: Path, tmp_path: Path
) -> None:
    """As many opens, reads and closes of as many bytes; the stand-in's names are numbers."""
    copy = _copy(files_run, tmp_path)
    spans = pq.read_table(copy / "spans.parquet")
    unknown = pa.array([-1] * spans.num_rows, pa.int64())
    pq.write_table(spans.set_column(spans.schema.get_field_index("object"), "object", unknown), copy / "spans.parquet")
    done = _replay(copy, tmp_path, pace="fastest")
    assert any("each of 80 openings counts as an object" in caveat for caveat in done.summary.caveats)
    for kind in READING:
        sizes = Counter(size for _, _, _, size in _done(files_run, kind).elements())
        assert Counter(size for _, _, _, size in _done(done.directory, kind).elements()) == sizes
    objects = [path for path in (tmp_path / "there").rglob("*") if path.is_file() and ".ioprof" not in path.parts]
    assert len(objects) == 80


def test_what_the_taps_saw_of_plain_python_is_repeated(files_run: Path, tmp_path: Path, trace_dir: Path) -> None:
    """Files that any code has read: as many openings, and the bytes of each, front to back."""
    sizes = [10, 4096, 70_000]
    for size in sizes:
        (tmp_path / f"{size}.bin").write_bytes(bytes(size))
    recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=10**6)
    recorder.begin(int(Phase.STEADY), batch=0)
    seen = capture.start(recorder)
    for size in sizes:
        assert len((tmp_path / f"{size}.bin").read_bytes()) == size
    seen.close()
    recorder.close()
    copy = _copy(files_run, tmp_path)
    spans = pa.Table.from_batches(list(raw_spans(raw_processes(trace_dir)[0])))
    pq.write_table(spans, copy / "spans.parquet")
    done = _replay(copy, tmp_path)
    read = done.summary.replay
    assert read is not None and read.operations["open"].replayed is not None
    assert read.operations["open"].replayed.count == 3
    assert sorted(size for _, _, _, size in _done(done.directory, Kind.READ).elements() if size) == sizes


def _sampled(directory: Path, folder: Path) -> Path:
    """Return a copy of a run that kept the operations of every other batch."""
    copy = _copy(directory, folder)
    spans = pq.read_table(copy / "spans.parquet")
    kept = [batch < 0 or is_sampled(batch, 2) for batch in spans["batch"].to_pylist()]
    pq.write_table(spans.filter(pa.array(kept)), copy / "spans.parquet")
    run = json.loads((copy / "run.json").read_text())
    (copy / "run.json").write_text(json.dumps(run | {"sample_every": 2}))
    return copy


def test_a_run_that_kept_some_batches_is_refused_unless_the_others_may_repeat_them(
    files_run: Path, tmp_path: Path
) -> None:
    """Half of the operations would be half of the load; what is filled in is told."""
    source = _sampled(files_run, tmp_path)
    with pytest.raises(RunError, match=r"kept the operations of .* of its batches \(1 in 2\)"):
        plan_replay(source, Asked(store_url=str(tmp_path / "there")))
    done = _replay(source, tmp_path, pace="fastest", fill=True)
    assert sum(_done(done.directory, Kind.READ).values()) == 80
    assert done.summary.replay is not None and 0.3 < done.summary.replay.filled_ratio < 0.7
    assert any("repeat what other batches did" in caveat for caveat in done.summary.caveats)


def test_a_run_without_spans_says_what_it_lacks(files_run: Path, tmp_path: Path) -> None:
    """As published runs do."""
    copy = _copy(files_run, tmp_path)
    (copy / "spans.parquet").unlink()
    with pytest.raises(RunError, match="left out when it was published"):
        plan_replay(copy, Asked(store_url=str(tmp_path)))


class _Killer(Silent):
    """Sends a signal once the lanes play."""

    def __init__(self, signum: int, to_lane: bool) -> None:
        self._signum, self._to_lane = signum, to_lane

    def measuring(self, directory: Path) -> None:
        """Do it a little later, from another process: the lanes start with the first epoch."""
        script = (
            "import os, signal, sys, time\n"
            "ours, to_lane, signum = int(sys.argv[1]), sys.argv[2] == 'True', int(sys.argv[3])\n"
            "def lanes():\n"
            "    with open(f'/proc/{ours}/task/{ours}/children') as file:\n"
            "        return [int(pid) for pid in file.read().split() if int(pid) not in known]\n"
            "known = {os.getpid(), *map(int, sys.argv[4].split())}\n"
            "while not lanes(): time.sleep(0.01)\n"
            "time.sleep(0.3)\n"
            "os.kill(lanes()[0] if to_lane else ours, signum)\n"
        )
        with open(f"/proc/{os.getpid()}/task/{os.getpid()}/children", encoding="ascii") as file:
            known = file.read()
        words = [sys.executable, "-c", script, str(os.getpid()), str(self._to_lane), str(self._signum), known]
        context = multiprocessing.get_context("fork")
        self._process = context.Process(target=os.execv, args=(sys.executable, words), daemon=True)
        self._process.start()

    def ended(self) -> None:
        """Wait for it."""
        self._process.join()


def _slow(files_run: Path, tmp_path: Path) -> tuple[Path, str]:
    """Return a run and a store on which its replay takes longer than any start of a process."""
    return files_run, f"throttle+{tmp_path}/there?latency.read=1s"


@pytest.mark.parametrize("to_lane", [True, False], ids=["a lane is killed", "Ctrl-C"])
def test_a_replay_that_ends_early_leaves_what_was_done(files_run: Path, tmp_path: Path, to_lane: bool) -> None:
    """A readable run directory that says so, and no process."""
    source, store = _slow(files_run, tmp_path)
    replay = plan_replay(source, Asked(store_url=store, results=str(tmp_path / "results"), pace="fastest"))
    prepared = prepare(replay.store, replay.staging.name, replay.staging.layout, workers=0)
    killer = _Killer(signal.SIGKILL if to_lane else signal.SIGINT, to_lane)
    with interruptible(), pytest.raises(api.RecordingStoppedError) as stopped:
        run_replay(replay, prepared, ["ioprof"], killer)
    killer.ended()
    run = stopped.value.run
    assert run.record.outcome == ("failed" if to_lane else "interrupted")
    assert isinstance(stopped.value.cause, RunError if to_lane else Interrupted)
    if to_lane:
        assert "SIGKILL" in str(stopped.value.cause)
    assert read_replay(run.directory) is not None
    assert run.summary.replay is not None
    assert run.summary.replay.operations["read"].recorded is not None


def test_a_store_without_room_is_refused_before_anything_is_written(
    files_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that says how much is needed; a dry run needs no room and writes nothing."""
    monkeypatch.setattr(LocalStore, "capacity", lambda _: Capacity(free_bytes=1000, free_inodes=9, total_bytes=1000))
    asked = {
        "store": str(tmp_path / "there"), "pace": "closed", "anonymise": False, "fill": False, "cache": None,
        "start_method": "fork", "results": str(tmp_path / "results"), "label": None, "quiet": True,
    }  # fmt: skip
    assert replay_command(files_run, **asked, dry_run=True, as_json=True) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["objects"], told["operations"], told["lanes"]) == (80, 244, 2)
    assert told["still_needed_bytes"] > told["bytes"] > 0
    assert replay_command(files_run, **asked, dry_run=True, as_json=False) == 0
    assert "still to write" in capsys.readouterr().out
    with pytest.raises(StoreFullError, match="KiB are free; use a shorter run"):
        replay_command(files_run, **asked, dry_run=False, as_json=False)
    assert os.listdir(tmp_path) in ([], ["results"])


@pytest.mark.parametrize(
    ("flag", "value", "told"),
    [
        ("pace", "opne", "--pace opne: none of closed, open, fastest; did you mean 'open'"),
        ("cache", "hot", "--cache hot: none of cold, warm, asis"),
        ("start_method", "threads", "--start-method threads: none of fork, spawn, forkserver"),
        ("label", "a b", "--label a b: up to 64 letters"),
    ],
)
def test_flags_that_make_no_sense_are_told(flag: str, value: str, told: str, tmp_path: Path) -> None:
    """Before the run is looked at."""
    asked = {
        "store": None, "pace": "closed", "anonymise": False, "fill": False, "cache": None,
        "start_method": "fork", "results": None, "label": None, "quiet": True,
    }  # fmt: skip
    with pytest.raises(UsageError, match=told):
        replay_command(tmp_path, **asked | {flag: value}, dry_run=True, as_json=False)
