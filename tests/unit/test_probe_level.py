"""One level with real processes: what is read, what is counted, and how it ends."""

from __future__ import annotations

import errno
import json
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from probe_levels import probe_level, probe_record

from ioprof.analysis.store_limit import bytes_share_of, shorter_told, store_bound
from ioprof.cli import probe as probe_cli
from ioprof.cli.console import results
from ioprof.cli.probe import probe_command, report_probe
from ioprof.clock import now_ns
from ioprof.errors import RunDirectoryError, RunError, UsageError
from ioprof.plugins import find_workload
from ioprof.probe import pattern
from ioprof.probe import short_reads as short_reads_of
from ioprof.probe.climb import Climbed, ceiling_of
from ioprof.probe.level import Reading, measure_level
from ioprof.probe.short_reads import short_reads
from ioprof.runner.interrupt import Interrupted
from ioprof.runner.probing import probe_refusal
from ioprof.store.object_reads import reads_in_use
from ioprof.store.open_store import open_store
from ioprof.store.tap import Tap
from ioprof.trace.probe_record import PROBE_JSON, LevelRecord, ProbeRecord, read_probe
from tests.small_dataset import SmallDataset, local_dataset
from tests.small_stream import local_stream

LEVEL_NS = 500_000_000

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def reading(dataset: SmallDataset, **changes: object) -> Reading:
    """Return the reading of a dataset's samples, over and over."""
    values = {
        "source": dataset.workload.reader(dataset.sizes), "store": dataset.store, "order": dataset.workload.order(0),
        "epoch": 0, "repeats": True, "is_cached_locally": True,
    }  # fmt: skip
    return Reading(**(values | changes))


def nothing() -> None:
    """Show no progress."""


@pytest.mark.parametrize("processes", [1, 3])
def test_a_level_counts_what_its_processes_read(processes: int, tmp_path: Path) -> None:
    """Three operations a sample, no decoding; rates are those of its windows; shares of the time add up."""
    dataset = local_dataset(tmp_path, file_size="4KiB", decode="1ms")
    level, places = measure_level(
        reading(dataset), processes, longest_ns=LEVEL_NS, cores=2.0, tick=nothing, slowest_ns=4 * LEVEL_NS
    )
    assert level is not None
    assert set(level.operations) == {"open", "read", "close"}
    read = level.operations["read"]
    assert level.samples <= read.count <= places
    assert read.bytes == read.count * 4096
    assert level.bytes_per_s == pytest.approx(level.samples_per_s * 4096, rel=0.05)
    assert level.operations_per_s == pytest.approx(3 * level.samples_per_s, rel=1e-6)
    assert level.samples_per_s == pytest.approx(level.samples / level.seconds, abs=1 / level.seconds)
    assert level.samples_per_s == pytest.approx(np.mean(level.window_samples_per_s), rel=0.2)
    assert level.latency is not None
    assert level.latency.p50_ns <= level.latency.p99_ns <= level.latency.max_ns
    assert (level.run_queue_ratio or 0.0) + (level.blocked_ratio or 0.0) <= 1.0
    assert level.failed_samples == 0


def test_where_nothing_is_read_twice_a_level_ends_with_the_samples(tmp_path: Path) -> None:
    """Each of them was read once, by whoever came first; a level this short has no figures."""
    dataset = local_dataset(tmp_path)
    asked = reading(dataset, repeats=False)
    told: list[str] = []
    level, places = measure_level(asked, 2, longest_ns=LEVEL_NS, cores=2.0, tick=nothing, missing=told.append)
    assert level is None
    assert places >= 50
    assert "too little to read" in told[0]


def test_a_stream_is_read_in_as_many_parts_as_there_are_processes(tmp_path: Path) -> None:
    """The wait for each sample is its latency."""
    stream = local_stream(tmp_path)
    asked = Reading(
        source=stream.workload.stream(stream.sizes),
        store=stream.store,
        order=None,
        epoch=0,
        repeats=True,
        is_cached_locally=True,
    )
    level, _ = measure_level(asked, 2, longest_ns=LEVEL_NS, cores=2.0, tick=nothing)
    assert level is not None
    assert level.samples_per_s > 0
    assert level.latency is not None


class Broken:
    """A reader with a defect."""

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes]:
        """Fail as code does that was not tried."""
        raise ZeroDivisionError("in the reader")


class Slow:
    """A reader that takes a known time for each sample."""

    def __init__(self, sample_s: float) -> None:
        self._sample_s = sample_s

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes]:
        """Sleep."""
        time.sleep(self._sample_s * len(samples))
        return [b"sample"] * len(samples)


@pytest.mark.parametrize("sample_s", [0.05, 0.6])
def test_the_rate_of_slow_samples_does_not_depend_on_where_windows_begin(sample_s: float, tmp_path: Path) -> None:
    """Two processes give two samples in the time of one, whether a level holds many or a few of them."""
    asked = reading(local_dataset(tmp_path), source=Slow(sample_s))
    level, _ = measure_level(asked, 2, longest_ns=LEVEL_NS, cores=2.0, tick=nothing, slowest_ns=3 * LEVEL_NS)
    assert level is not None
    # A sleep is never short, and on a busy host it is late.
    assert 0.85 * 2 / sample_s <= level.samples_per_s <= 1.02 * 2 / sample_s


def test_samples_too_slow_for_a_level_are_no_rate_of_zero(tmp_path: Path) -> None:
    """The reason is theirs: nothing was short of samples."""
    told: list[str] = []
    asked = reading(local_dataset(tmp_path), source=Slow(0.4))
    level, _ = measure_level(asked, 2, longest_ns=LEVEL_NS, cores=2.0, tick=nothing, missing=told.append)
    assert level is None
    assert [one for one in told if "samples are so slow" in one] == told != []


def test_a_reader_that_fails_ends_the_level_with_its_words(tmp_path: Path) -> None:
    """The process that measures says what failed; no process stays behind."""
    dataset = local_dataset(tmp_path)
    with pytest.raises(RunError, match="ZeroDivisionError: in the reader"):
        measure_level(reading(dataset, source=Broken()), 2, longest_ns=LEVEL_NS, cores=2.0, tick=nothing)


def test_files_that_are_gone_are_counted_not_read(tmp_path: Path) -> None:
    """A level goes on without them."""
    dataset = local_dataset(tmp_path)
    dataset.store.unlink(dataset.path(0))
    level, _ = measure_level(reading(dataset), 1, longest_ns=LEVEL_NS, cores=2.0, tick=nothing)
    assert level is not None
    assert level.failed_samples > 0
    assert level.operations["open"].errors == level.failed_samples


def test_the_longest_time_of_a_level_is_kept(tmp_path: Path) -> None:
    """Apart from starting and ending its processes, a level of half a second is over soon after."""
    ticks: list[int] = []
    asked = reading(local_dataset(tmp_path))
    level, _ = measure_level(asked, 1, longest_ns=LEVEL_NS, cores=2.0, tick=lambda: ticks.append(now_ns()))
    assert level is not None
    assert len(level.window_samples_per_s) <= 4
    assert len(ticks) >= len(level.window_samples_per_s)


@pytest.mark.parametrize(("workload", "why"), [("checkpoint", "reads no samples"), ("metadata-storm", "changes")])
def test_workloads_that_do_not_read_samples_are_refused(workload: str, why: str) -> None:
    """In one line; one that reads and writes has a part that only reads."""
    found = find_workload(workload)
    assert why in str(probe_refusal(found(found.Params.model_validate({}), 1)))
    etl = find_workload("etl")
    assert probe_refusal(etl(etl.Params.model_validate({}), 1)) is None


@pytest.mark.parametrize("workload", ["small-files", "etl"])
def test_the_command_leaves_a_record_that_reads_again(
    workload: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is printed as JSON is what the directory holds; only reading was done."""
    flags = [("store", str(tmp_path / "data")), ("files", "200"), ("file-size", "4KiB"), ("cache", "warm"),
             ("duration", "1s"), ("results", str(tmp_path / "results"))]  # fmt: skip
    assert probe_command(workload, flags, [], [], processes=2, as_json=True, quiet=True) == 0
    (directory,) = (tmp_path / "results").iterdir()
    printed = ProbeRecord.model_validate(json.loads(capsys.readouterr().out))
    assert printed == read_probe(directory)
    assert printed.ceiling is not None
    assert printed.ceiling.samples_per_s == max(level.samples_per_s for level in printed.levels)
    assert set(printed.levels[0].operations) == {"open", "read", "close"}


def test_a_probe_that_fails_says_so_in_its_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Levels that were measured stay; a full disk is one line for the user."""

    def full(*_: object, measured: Callable[[LevelRecord], None], **__: object) -> None:
        measured(probe_level(1, 100.0))
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(probe_cli, "probe", full)
    flags = [("store", str(tmp_path / "data")), ("files", "100"), ("file-size", "4KiB"),
             ("results", str(tmp_path / "results"))]  # fmt: skip
    with pytest.raises(RunError, match="No space left"):
        probe_command("small-files", flags, [], [], processes=2, as_json=True, quiet=True)
    (directory,) = (tmp_path / "results").iterdir()
    left = read_probe(directory)
    assert left is not None
    assert (left.outcome, len(left.levels)) == ("failed", 1)
    assert "No space left" in str(left.reason)


def test_caches_are_dropped_where_a_run_drops_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ceiling with names still cached would not be that of a run without them; others need no root."""
    drops: list[bool] = []
    monkeypatch.setattr(pattern, "drop_caches", lambda: drops.append(True))
    dataset = local_dataset(tmp_path)
    for asked in (False, True):
        job = pattern.ProbeJob(
            source=dataset.workload.reader(dataset.sizes), store=dataset.store, layout=dataset.workload.layout(),
            sizes=dataset.sizes, order=dataset.workload.order, samples=50, cache="cold", drop_caches=asked,
        )  # fmt: skip
        pattern.Pattern(job).next()
    assert drops == [True]


def test_flags_of_a_loader_are_refused(tmp_path: Path) -> None:
    """A probe has no loader: the flag would change nothing, and nobody would notice."""
    with pytest.raises(UsageError, match=r"--workers: has no part in a probe"):
        probe_command("small-files", [("workers", "2")], [], [], processes=None, as_json=True, quiet=True)


@pytest.mark.parametrize("content", ["{", '{"format": 99}', '{"format": 1}', "[" * 100_000])
def test_a_damaged_or_newer_record_is_refused_in_one_line(content: str, tmp_path: Path) -> None:
    """Its path is named; a directory without one has none."""
    assert read_probe(tmp_path) is None
    (tmp_path / PROBE_JSON).write_text(content)
    with pytest.raises(RunDirectoryError, match=r"probe\.json"):
        read_probe(tmp_path)


def test_levels_are_written_as_they_finish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a killed probe leaves has every level that was over, reads again, and calls its ceiling a lower bound."""
    seen: list[ProbeRecord] = []

    def killed(*_: object, measured: Callable[[LevelRecord], None], **__: object) -> None:
        for processes in (1, 2):
            (directory,) = (tmp_path / "results").iterdir()
            measured(probe_level(processes, 100.0 * processes))
            left = read_probe(directory)
            assert left is not None
            seen.append(left)
            capsys.readouterr()
            report_probe(directory, console=results(), as_json=False)
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(probe_cli, "probe", killed)
    flags = [("store", str(tmp_path / "data")), ("files", "100"), ("file-size", "4KiB"),
             ("results", str(tmp_path / "results"))]  # fmt: skip
    with pytest.raises(Interrupted):
        probe_command("small-files", flags, [], [], processes=2, as_json=True, quiet=True)
    assert [(one.outcome, len(one.levels)) for one in seen] == [("running", 1), ("running", 2)]
    assert seen[1].ceiling is not None
    assert (seen[1].ceiling.samples_per_s, seen[1].ceiling.is_lower_bound) == (200.0, True)
    assert seen[1].reads == reads_in_use()
    assert "what was measured up to now" in " ".join(capsys.readouterr().out.split())
    (directory,) = (tmp_path / "results").iterdir()
    left = read_probe(directory)
    assert left is not None
    assert (left.outcome, left.reason, len(left.levels)) == ("interrupted", "SIGINT received", 2)


def test_an_unknown_reader_is_refused_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A value that the environment has wrong is the user's to correct: usage, by its name."""
    monkeypatch.setenv("IOPROF_READS", "rust")
    flags = [("store", str(tmp_path / "data")), ("results", str(tmp_path / "results"))]
    with pytest.raises(UsageError, match="IOPROF_READS=rust: must be compiled or python"):
        probe_command("small-files", flags, [], [], processes=2, as_json=True, quiet=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("throttle", "name"), [("bandwidth=40MB/s", "storage-bandwidth"), ("iops=350", "storage-latency")]
)
def test_short_reads_tell_bytes_from_operations(
    throttle: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both stores give some 350 reads of 112 KiB a second, to any number of processes: their curves are the same."""
    monkeypatch.setattr(short_reads_of, "LEVEL_NS", LEVEL_NS)
    local = local_dataset(tmp_path, files=200, file_size="112KiB")
    store = open_store(f"throttle+{local.store.url}?{throttle}").at("")
    asked = reading(local, store=store)
    level, _ = measure_level(asked, 2, longest_ns=LEVEL_NS, cores=2.0, tick=nothing)
    assert level is not None
    job = pattern.ProbeJob(
        source=asked.source, store=store, layout=local.workload.layout(), sizes=local.sizes,
        order=local.workload.order, samples=200, cache="asis",
    )  # fmt: skip
    flat = Climbed(levels=[level.model_copy(update={"run_queue_ratio": 0.0})], ended="stayed")
    found = short_reads(pattern.Pattern(job), flat, ceiling_of(flat), cores=2.0, tick=nothing)
    assert found is not None
    assert found.bytes_share is not None
    assert found.full_read_bytes == 112 << 10
    assert found.full_reads_per_s == pytest.approx(level.samples_per_s)
    probed = probe_record([level]).model_copy(update={"short_reads": found})
    assert "in reads of 14 KiB it gives" in str(shorter_told(probed))
    assert (
        store_bound(
            metadata_share=0.0, bytes_share=bytes_share_of(probed), is_growing=False, read_bytes=level.bytes_per_s
        )
        == name
    )
