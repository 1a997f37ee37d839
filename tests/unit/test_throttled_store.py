"""A throttled store: the same operations with the same results, none of them shorter than asked."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest

import ioprof
from ioprof.contract import ChecksStore
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.prepare import prepare
from ioprof.dataset.sizes import Fixed
from ioprof.errors import SpecError, StoreError
from ioprof.plugins import find_workload
from ioprof.store.calls import SlowedCalls
from ioprof.store.open_store import open_store
from ioprof.store.pace import Pace
from ioprof.store.tap import Tap
from ioprof.store.throttle import parse_throttle
from ioprof.trace.kinds import Kind
from ioprof.trace.raw import raw_processes, raw_spans
from tests.recorded_taps import tapped

pytestmark = pytest.mark.usefixtures("nothing_left")
LATENCIES = "latency=300us&latency.open=700us&latency.close=200us&latency.list=1ms"
ASKED_NS = {Kind.OPEN: 700_000, Kind.CLOSE: 200_000, Kind.LIST: 1_000_000}


def _spans(trace_dir: Path) -> list[tuple[Kind, int, int, int]]:
    """Return kind, duration in ns, bytes and error of every operation, in order."""
    rows = [row for batch in raw_spans(raw_processes(trace_dir)[0]) for row in batch.to_pylist()]
    rows.sort(key=lambda row: row["start_ns"])
    return [(Kind(row["kind"]), row["duration_ns"], row["bytes"], row["error"]) for row in rows]


def _exercise(tap: Tap) -> list[object]:
    """Do every operation that a tap has, failures included; return what came of them."""
    tap.make_dir("d")
    with tap.create_file("d/new") as written:
        written.write(bytes(200_000))
        written.commit(sync=True)
    tap.sync_dir("d")
    tap.write("d/other", b"abc", sync=True)
    tap.rename("d/other", "d/third")
    found: list[object] = [sorted(entry.name for entry in tap.list("d")), tap.stat("d/new").size_bytes]
    with tap.open_file("d/new") as opened:
        found += [opened.read_at(5, 100)]
        opened.read_into(memoryview(bytearray(1000)), 0)
    found.append(tap.read_objects([f"{tap.root}d/third", f"{tap.root}d/missing"], [3, 3], [0, 1]))
    with pytest.raises(FileNotFoundError):
        tap.stat("d/missing")
    tap.unlink("d/third")
    tap.unlink("d/new")
    tap.remove_dir("d")
    return found


@pytest.mark.parametrize("url", ["/PATH", "memory://NAME"])
@pytest.mark.usefixtures("no_descriptor_left")
def test_every_operation_is_as_on_the_store_below_and_takes_at_least_its_time(
    url: str, tmp_path: Path, trace_dir: Path
) -> None:
    """Kinds, bytes, errors and results are the same; each operation of a kind lasts as long as asked for."""
    plain, slowed = (url.replace("/PATH", str(tmp_path / s)).replace("NAME", f"{uuid4()}") for s in ("a", "b"))
    kept, spans = [], []
    for number, store in enumerate((plain, f"throttle+{slowed}?{LATENCIES}")):
        open_store(store).make_dir("")
        folder = trace_dir / str(number)
        folder.mkdir()
        with tapped(open_store(store), folder) as tap:
            kept.append(_exercise(tap))
        spans.append(_spans(folder))
    assert kept[0] == kept[1]
    assert [(kind, size, error) for kind, _, size, error in spans[0]] == [
        (kind, size, error) for kind, _, size, error in spans[1]
    ]
    short = [(kind, took_ns) for kind, took_ns, _, _ in spans[1] if took_ns < ASKED_NS.get(kind, 300_000)]
    assert not short


@pytest.mark.usefixtures("no_descriptor_left")
def test_bandwidth_and_operations_are_shared_by_all_taps_of_a_store(tmp_path: Path, trace_dir: Path) -> None:
    """Two workers' ten reads of 10,000 bytes at 1 MB/s end 100 ms after they began; so do IOPS, and opens by theirs."""
    (tmp_path / "file").write_bytes(bytes(10_000))
    for parameters in ("bandwidth=1MB/s", "iops=100", "metadata=100"):
        store = open_store(f"throttle+{tmp_path}?{parameters}").at("")
        folder = trace_dir / parameters.partition("=")[0]
        folder.mkdir()
        with tapped(store, folder) as one, tapped(store, folder, worker=1) as other:
            for tap in [one, other] * 5:
                tap.read_objects([f"{tap.root}file"], [10_000], [0])
            assert one.pace is not None
            limited = Kind.OPEN if parameters.startswith("metadata") else Kind.READ
            assert {kind: held[0] for kind, held in one.pace.held.items()} == {limited: 5}
        rows = [row for batch in raw_spans(raw_processes(folder)[0]) for row in batch.to_pylist()]
        reads = [row for row in rows if row["kind"] == limited]
        last_ns, first_ns = (
            max(row["start_ns"] + row["duration_ns"] for row in reads),
            min(r["start_ns"] for r in reads),
        )
        # The first of ten turns is not waited for; late clients are given 2 ms back.
        assert last_ns - first_ns >= (100 if parameters.startswith("bandwidth") else 88) * 1_000_000


def test_only_what_is_measured_is_throttled(tmp_path: Path) -> None:
    """Preparation, and whatever else ioprof does for itself, goes at full speed: here an operation takes 10 minutes."""
    store = open_store(f"throttle+{tmp_path}?latency=10min&iops=1")
    made = prepare(store, "set", OpaqueLayout(count=20, sizes=Fixed(10)), workers=2)
    assert len(made.store.list("0")) == 20
    assert made.store.local_root == f"{tmp_path}/{os.listdir(tmp_path)[0]}"


def test_mapped_files_are_refused_before_the_run_and_by_the_tap(tmp_path: Path, trace_dir: Path) -> None:
    """Page faults cannot be held back."""
    store = open_store(f"throttle+{tmp_path}?latency=1ms")
    tokens = find_workload("token-stream")
    workload = tokens(tokens.Params(), 1)
    assert isinstance(workload, ChecksStore)
    with pytest.raises(SpecError, match="use --access pread"):
        workload.check_store(store)
    with tapped(store, trace_dir) as tap, pytest.raises(StoreError, match="no mapped files"):
        tap.map_file("x", 0, 1, "normal")


def test_an_operation_slower_than_asked_is_counted(tmp_path: Path) -> None:
    """Its time is the real store's, and the report says so."""
    pace = Pace(parse_throttle("latency=1us", "store"), None, (0, 0))
    for index in range(3):
        SlowedCalls(pace).close(os.open(tmp_path / f"{index}", os.O_CREAT | os.O_RDWR))
    assert (pace.held, pace.slower) == ({}, 0)
    SlowedCalls(pace).mkdir(str(tmp_path / "d"))
    operations, asked_ns, given_ns = pace.held[Kind.MKDIR]
    assert (operations, asked_ns, pace.slower) == (1, 1000, 1)
    assert given_ns > asked_ns


class InterruptedPace(Pace):
    """A signal's exception strikes while an operation is held back."""

    def hold(self, kind: Kind, start_ns: int, size_bytes: int) -> None:
        """Never get as far as waiting."""
        raise KeyboardInterrupt


@pytest.mark.usefixtures("no_descriptor_left")
def test_a_file_whose_opening_is_broken_off_is_closed(tmp_path: Path) -> None:
    """Nobody else knows its descriptor."""
    calls = SlowedCalls(InterruptedPace(parse_throttle("latency=1s", "store"), None, (0, 0)))
    with pytest.raises(KeyboardInterrupt):
        calls.open(str(tmp_path / "file"), os.O_CREAT | os.O_RDWR)
    assert (tmp_path / "file").exists()


def test_a_run_on_a_throttled_store_is_recorded_and_told_as_one(tmp_path: Path) -> None:
    """Cold as ever, by the workers' own taps; the parameters and what was held back stand in run.json."""
    url = f"throttle+{tmp_path}/data?latency=1ms&latency.open=2ms&iops=100k"
    run = ioprof.run(
        {
            "workload": {"name": "small-files", "files": 32, "file_size": "4KiB", "discovery": "none"},
            "store": {"url": url},
            "loader": {"name": "processes", "workers": 1, "batch_size": 4},
            "accelerator": {"compute": "1ms"},
            "run": {"epochs": 1, "warmup": 0, "results": str(tmp_path / "results")},
        }
    )
    assert run.record.store["throttle"] == "latency=1ms&latency.open=2ms&iops=100k"
    assert run.record.store["path"] == str(next((tmp_path / "data").iterdir()))
    assert run.record.cache.evicted_objects == 32
    assert run.record.held_operations is not None
    assert run.record.held_operations.operations == 64
    opens = run.record.held_operations.by_kind["open"]
    assert (opens.operations, opens.asked_ns) == (32, 64_000_000)
    assert opens.given_ns >= opens.asked_ns
    assert run.summary.operations["open"].latency_ns is not None
    assert run.summary.operations["open"].latency_ns.min >= 2_000_000
    assert "The store is throttled (latency=1ms&latency.open=2ms&iops=100k)" in run.summary.caveats[0]
