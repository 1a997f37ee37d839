"""Preparation, verification and removal on real stores with real processes, and with real accidents."""

from __future__ import annotations

import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from rich.console import Console

from ioprof.cli.clean import clean_store
from ioprof.cli.prepare import prepare_with_progress
from ioprof.contract import Layout
from ioprof.dataset.clean import FoundDataset, find_datasets, remove
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.marker import read_marker, write_marker
from ioprof.dataset.prepare import Prepared, dataset_path, prepare
from ioprof.dataset.progress import Progress
from ioprof.dataset.sizes import Fixed, Lognormal, Sizes
from ioprof.dataset.verify import verify
from ioprof.errors import DatasetError, SpecError, StoreError, StoreFullError, UsageError
from ioprof.store.base import Store
from ioprof.store.local import LocalStore
from ioprof.store.open_store import open_store
from tests.children import children

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a filesystem needs root")

LAYOUT = OpaqueLayout(count=3000, sizes=Lognormal(6000, 1.0), files_per_dir=50, seed=4)
LONG = OpaqueLayout(count=120_000, sizes=Fixed(4096), seed=4)

# Prepares LONG below argv[1] and tells how far it is, until someone ends it.
LONG_PREPARATION = """
import sys
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.prepare import prepare
from ioprof.dataset.sizes import Fixed
from ioprof.store.local import LocalStore

layout = OpaqueLayout(count=120_000, sizes=Fixed(4096), seed=4)
tell = lambda progress: print(progress.phase, progress.objects, flush=True)
prepare(LocalStore(sys.argv[1]), "long", layout, workers=2, on_progress=tell)
"""


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    """A directory that does not exist yet."""
    return LocalStore(str(tmp_path / "store"))


def paths(store: Store, layout: Layout) -> list[Path]:
    """Every object's path on a local store."""
    return [Path(f"{store.local_root}/{layout.path(index)}") for index in range(layout.count)]


def interrupted(store: LocalStore, signal_number: int, after: int = 20_000) -> list[psutil.Process]:
    """Start preparing LONG, end it with a signal once ``after`` objects are there; return its workers."""
    command = [sys.executable, "-c", LONG_PREPARATION, store.url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as parent:
        assert parent.stdout is not None
        for line in parent.stdout:
            phase, objects = line.split()
            if phase == "write" and int(objects) >= after:
                break
        workers = psutil.Process(parent.pid).children(recursive=True)
        parent.send_signal(signal_number)
    assert len(workers) == 2
    return workers


@pytest.mark.parametrize("kind", ["path", "memory", "file"])
def test_a_prepared_dataset_holds_what_its_layout_says_and_is_used_again(kind: str, tmp_path: Path) -> None:
    """On a path, in memory and through fsspec alike; the second preparation writes nothing."""
    url = {"path": str(tmp_path), "memory": f"memory://{tmp_path.name}", "file": f"file://{tmp_path}"}[kind]
    store = open_store(url)
    first = prepare(store, "set", LAYOUT, workers=2)
    assert (first.reused, first.written_objects, first.resumed_objects) == (False, 3000, 0)
    assert first.written_bytes == first.manifest.total_bytes == int(LAYOUT.sizes(0, 3000).sum())
    assert np.array_equal(first.manifest.sizes, LAYOUT.sizes(0, 3000))
    for index, size in enumerate(first.manifest.sizes[:50].tolist()):
        assert first.store.read(LAYOUT.path(index)) == bytes(LAYOUT.render(index, size))
    found = verify(first.store, LAYOUT, workers=2)
    assert (found.objects, found.damaged, found.size_bytes) == (3000, 0, first.written_bytes)
    second = prepare(store, "set", LAYOUT, workers=2)
    assert (second.reused, second.written_objects) == (True, 0)
    removed = remove(find_datasets(store)[0])
    assert (removed.objects, removed.foreign) == (3000, 0)
    assert find_datasets(store) == []


def test_using_a_dataset_again_touches_no_object(store: LocalStore) -> None:
    """Neither content nor times change."""
    prepared = prepare(store, "set", LAYOUT, workers=2)
    before = [path.stat().st_mtime_ns for path in paths(prepared.store, LAYOUT)]
    assert prepare(store, "set", LAYOUT).reused
    assert [path.stat().st_mtime_ns for path in paths(prepared.store, LAYOUT)] == before


def test_another_seed_is_another_dataset_beside_the_first(store: LocalStore) -> None:
    """Nothing of the first is overwritten."""
    prepare(store, "set", LAYOUT)
    other = OpaqueLayout(count=100, sizes=Fixed(10), seed=5)
    assert not prepare(store, "set", other).reused
    assert prepare(store, "set", LAYOUT).reused
    assert len(find_datasets(store)) == 2


def test_a_preparation_killed_outright_leaves_no_process_and_is_continued(store: LocalStore) -> None:
    """After kill -9 of the parent its workers are gone, and the next start writes only the missing chunks."""
    workers = interrupted(store, signal.SIGKILL)
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []
    dataset = store.at(dataset_path("long", LONG))
    marker = read_marker(dataset)
    assert marker is not None
    assert marker.state == "preparing"
    recorded = [int(name) for name in os.listdir(f"{dataset.local_root}/.ioprof/done")]
    kept = [paths(dataset, LONG)[number * marker.chunk_objects] for number in recorded]
    before = [path.stat().st_mtime_ns for path in kept]
    seen: list[Progress] = []
    prepared = prepare(store, "long", LONG, workers=2, on_progress=seen.append)
    assert prepared.resumed_objects == seen[0].resumed_objects >= 10_000
    assert prepared.written_objects == LONG.count - prepared.resumed_objects
    assert [path.stat().st_mtime_ns for path in kept] == before
    assert verify(prepared.store, LONG).damaged == 0
    assert not Path(f"{dataset.local_root}/.ioprof/done").exists()


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_leaves_no_process(store: LocalStore, signal_number: int) -> None:
    """SIGTERM and Ctrl-C end the workers with their parent, and what is there can be removed."""
    _, alive = psutil.wait_procs(interrupted(store, signal_number, after=5000), timeout=10)
    assert alive == []
    (found,) = find_datasets(store)
    assert found.state == "preparing"
    remove(found)
    assert os.listdir(store.url) == []


def test_a_killed_worker_is_reported_and_the_rest_goes_too(store: LocalStore) -> None:
    """The out-of-memory killer takes one worker: the message says so, and the others do not stay behind."""
    before, victims = children(), list[psutil.Process]()

    def kill_one(progress: Progress) -> None:
        if progress.phase == "write" and not victims:
            victims.extend(children() - before)
            victims[0].kill()

    with pytest.raises(StoreError, match="a worker process was killed by SIGKILL; what it finished is kept"):
        prepare(store, "long", LONG, workers=2, on_progress=kill_one)
    assert len(victims) == 2
    assert not any(victim.is_running() for victim in victims)


def test_after_a_power_cut_records_are_checked_before_they_are_believed(store: LocalStore) -> None:
    """Another boot, and a recorded object lost its bytes: its chunk is written again, the others are kept."""
    workers = interrupted(store, signal.SIGKILL)
    psutil.wait_procs(workers, timeout=10)
    dataset = store.at(dataset_path("long", LONG))
    marker = read_marker(dataset)
    assert marker is not None
    write_marker(dataset, replace(marker, boot_id="an earlier boot"))
    recorded = sorted(int(name) for name in os.listdir(f"{dataset.local_root}/.ioprof/done"))
    os.truncate(paths(dataset, LONG)[recorded[0] * marker.chunk_objects + 7], 0)
    prepared = prepare(store, "long", LONG, workers=2)
    assert prepared.resumed_objects == (len(recorded) - 1) * marker.chunk_objects
    assert verify(prepared.store, LONG).damaged == 0


def test_a_directory_with_files_of_others_is_refused(store: LocalStore) -> None:
    """Not empty and no marker: nothing is written into it."""
    target = Path(store.url, dataset_path("set", LAYOUT))
    target.mkdir(parents=True)
    (target / "thesis.tex").write_text("precious")
    with pytest.raises(DatasetError, match=r"holds files that ioprof did not make \(thesis\.tex\)"):
        prepare(store, "set", LAYOUT)
    assert os.listdir(target) == ["thesis.tex"]


def test_a_death_before_the_marker_stood_is_no_obstacle(store: LocalStore) -> None:
    """Bookkeeping without a marker and without objects is what such a death leaves."""
    target = Path(store.url, dataset_path("set", LAYOUT), ".ioprof")
    (target / "done").mkdir(parents=True)
    (target / "lock").touch()
    (target / "marker.json.new").write_text("{")
    assert prepare(store, "set", LAYOUT).written_objects == 3000


def test_a_renamed_dataset_is_not_taken_for_another(store: LocalStore) -> None:
    """The directory's name promises one dataset and the marker tells of another."""
    other = OpaqueLayout(count=10, sizes=Fixed(10))
    made = prepare(store, "set", other)
    assert made.store.local_root is not None
    os.rename(made.store.local_root, Path(store.url, dataset_path("set", LAYOUT)))
    with pytest.raises(DatasetError, match="holds another dataset"):
        prepare(store, "set", LAYOUT)


def test_a_store_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    """Here the store's path leads through a file."""
    (tmp_path / "file").touch()
    with pytest.raises(StoreError, match="cannot prepare here: Not a directory") as raised:
        prepare(LocalStore(str(tmp_path / "file" / "store")), "set", LAYOUT)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "with space", "-flag"])
def test_a_name_that_is_no_directory_name_is_refused(store: LocalStore, name: str) -> None:
    """Nothing is created for it."""
    with pytest.raises(SpecError, match="dataset name"):
        prepare(store, name, LAYOUT)
    assert not Path(store.url).exists()


def test_a_dataset_too_large_for_the_disk_is_refused_before_anything_is_written(store: LocalStore) -> None:
    """Sixteen terabytes times ten: needed and free are told."""
    huge = OpaqueLayout(count=10, sizes=Fixed(16 * 1024**4))
    with pytest.raises(StoreFullError, match=r"needs 168 TiB, .* are free"):
        prepare(store, "huge", huge)
    assert not Path(store.url).exists()


def test_two_preparations_of_one_dataset_do_not_meet(store: LocalStore) -> None:
    """The second is told to wait; the first is not disturbed."""
    refusals: list[str] = []

    def start_another(progress: Progress) -> None:
        if progress.phase == "directories":
            with pytest.raises(DatasetError) as raised:
                prepare(store, "set", LAYOUT)
            refusals.append(str(raised.value))

    assert prepare(store, "set", LAYOUT, on_progress=start_another).written_objects == 3000
    assert [re.search("another process is preparing", refusal) is not None for refusal in refusals] == [True]


def test_preparation_works_under_a_parent_that_runs_threads(store: LocalStore) -> None:
    """Workers are started anew, not forked: a lock held by a thread of the parent does not reach them."""
    stop = threading.Event()
    thread = threading.Thread(target=stop.wait)
    thread.start()
    try:
        assert prepare(store, "set", LAYOUT, workers=3).workers == 3
    finally:
        stop.set()
        thread.join()


def test_objects_larger_than_a_piece_are_written_and_checked_piece_by_piece(store: LocalStore) -> None:
    """Large objects arrive whole, and a byte that flips in the last piece is found."""
    large = OpaqueLayout(count=5, sizes=Fixed(5 * 1024**2 + 123), seed=1)
    prepared = prepare(store, "large", large, workers=2)
    assert verify(prepared.store, large).damaged == 0
    assert prepared.store.read(large.path(3)) == bytes(large.render(3, 5 * 1024**2 + 123))
    with open(paths(prepared.store, large)[3], "r+b") as file:
        file.seek(5 * 1024**2 + 100)
        file.write(b"!")
    assert verify(prepared.store, large).wrong_content == 1


@pytest.mark.parametrize("workers", [0, 2])
def test_verification_finds_each_kind_of_damage(store: LocalStore, workers: int) -> None:
    """A flipped bit, a short object, a long one, and one that is gone: counted apart and named."""
    prepared = prepare(store, "set", LAYOUT)
    files = paths(prepared.store, LAYOUT)
    content = bytearray(files[10].read_bytes())
    content[-1] ^= 1
    files[10].write_bytes(content)
    os.truncate(files[20], 1)
    files[30].write_bytes(files[30].read_bytes() + b"x")
    files[2999].unlink()
    found = verify(prepared.store, LAYOUT, workers=workers)
    assert (found.wrong_content, found.wrong_size, found.missing, found.unreadable) == (1, 2, 1, 0)
    assert [(damage.index, damage.problem) for damage in found.examples] == [
        (10, "wrong content"),
        (20, "wrong size"),
        (30, "wrong size"),
        (2999, "missing"),
    ]
    assert found.examples[0].path == LAYOUT.path(10)


def only(store: Store) -> FoundDataset:
    """The one dataset of a store."""
    (found,) = find_datasets(store)
    return found


def test_removal_leaves_files_of_others_and_reports_them(store: LocalStore) -> None:
    """Wherever they are, and however much like objects they look."""
    prepared = prepare(store, "set", LAYOUT)
    root = Path(prepared.store.url)
    leaf = paths(prepared.store, LAYOUT)[0].parent
    foreign = [
        root / "notes.txt",
        leaf / "3000",
        leaf / "0007",
        root / ".ioprof" / "mine",
        leaf.parent / "x" / "y",
    ]
    for path in foreign:
        path.parent.mkdir(exist_ok=True)
        path.write_text("precious")
    removed = remove(only(store))
    assert removed.objects == 3000
    assert [path.read_text() for path in foreign] == ["precious"] * 5
    assert sorted(path for path in root.rglob("*") if path.is_file()) == sorted(foreign)
    # The directory x stands for what is in it.
    assert removed.foreign == 5
    assert set(removed.foreign_paths) == {
        str((path if path.name != "y" else path.parent).relative_to(root)) for path in foreign
    }


def test_removal_does_not_follow_a_link_out_of_the_dataset(store: LocalStore, tmp_path: Path) -> None:
    """A directory replaced by a link leads to someone's files, named like objects: they stay."""
    prepared = prepare(store, "set", LAYOUT)
    outside = tmp_path / "outside"
    leaf = paths(prepared.store, LAYOUT)[0].parent
    os.rename(leaf, outside)
    leaf.symlink_to(outside)
    removed = remove(only(store))
    assert len(os.listdir(outside)) == 50
    assert removed.objects == 3000 - 50
    assert str(leaf.relative_to(prepared.store.url)) in removed.foreign_paths


def test_nothing_without_a_marker_is_found_or_removed(store: LocalStore) -> None:
    """Not even a directory that is a dataset in every other way."""
    prepared = prepare(store, "set", LAYOUT)
    found = only(store)
    Path(prepared.store.url, ".ioprof", "marker.json").unlink()
    assert find_datasets(store) == []
    with pytest.raises(DatasetError, match="carries no marker"):
        remove(found)
    assert all(path.exists() for path in paths(prepared.store, LAYOUT))


def test_a_damaged_marker_is_reported_and_nothing_is_removed(store: LocalStore) -> None:
    """It may be anyone's."""
    prepared = prepare(store, "set", LAYOUT)
    Path(prepared.store.url, ".ioprof", "marker.json").write_text("{}")
    console = Console(file=io.StringIO())
    assert only(store).state == "damaged"
    assert clean_store(store, store.url, console=console, assume_yes=True) == 1
    assert all(path.exists() for path in paths(prepared.store, LAYOUT))


def test_an_interrupted_removal_never_passes_for_a_dataset(store: LocalStore) -> None:
    """The manifest goes first: the next preparation writes everything again."""
    prepared = prepare(store, "set", LAYOUT)
    Path(prepared.store.url, ".ioprof", "manifest.arrow").unlink()
    paths(prepared.store, LAYOUT)[5].unlink()
    again = prepare(store, "set", LAYOUT)
    assert (again.reused, again.written_objects) == (False, 3000)
    assert verify(again.store, LAYOUT).damaged == 0


class LetterLayout:
    """Objects whose names follow no rule that ioprof knows."""

    count = 3

    def identity(self) -> dict[str, str | int | float | bool]:
        """Any other kind."""
        return {"layout": "letters"}

    def path(self, index: int) -> str:
        """A letter per object."""
        return f"deep/er/{'abc'[index]}"

    def directories(self) -> Iterator[str]:
        """Two."""
        yield from ("deep", "deep/er")

    def sizes(self, start: int, stop: int) -> Sizes:
        """Ten bytes each, without saying so."""
        return np.full(stop - start, 10, dtype=np.int64)

    def render(self, index: int, size_bytes: int) -> bytes:
        """Its letter."""
        return b"abc"[index : index + 1] * size_bytes


def test_layouts_of_other_workloads_are_prepared_and_removed_by_name(store: LocalStore) -> None:
    """Only the listed names go; a stranger in the same directory stays."""
    prepared = prepare(store, "letters", LetterLayout())
    assert verify(prepared.store, LetterLayout()).damaged == 0
    stranger = Path(prepared.store.url, "deep", "er", "d")
    stranger.touch()
    removed = remove(only(store))
    assert (removed.objects, removed.foreign_paths) == (3, ["deep/er/d"])
    assert stranger.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A filesystem of 40 MiB and 12,000 inodes."""
    place = tmp_path / "disk"
    place.mkdir()
    options = "size=40m,nr_inodes=12000"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "ioprof-test", place], check=True)  # noqa: S607
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)  # noqa: S607


@pytest.mark.root
@needs_root
@pytest.mark.parametrize("workers", [0, 2])
def test_a_disk_that_fills_up_keeps_what_is_written_and_is_continued(small_disk: Path, workers: int) -> None:
    """Someone else takes the space half way: the message says what is kept, and the next start goes on."""
    store = LocalStore(str(small_disk))
    layout = OpaqueLayout(count=7000, sizes=Fixed(4096), seed=3)
    filler, before = small_disk / "filler", children()

    def fill_up(progress: Progress) -> None:
        if progress.phase == "directories":
            filler.write_bytes(b"\0" * (22 * 1024**2))

    with pytest.raises(StoreFullError, match=r"full \(No space left on device\); [\d,]+ of 7,000 objects are kept"):
        prepare(store, "set", layout, workers=workers, on_progress=fill_up)
    assert children() <= before
    filler.unlink()
    prepared = prepare(store, "set", layout, workers=workers)
    assert 0 < prepared.resumed_objects < 7000
    assert verify(prepared.store, layout).damaged == 0


@pytest.mark.root
@needs_root
def test_too_few_inodes_are_seen_before_the_start(small_disk: Path) -> None:
    """Nine thousand objects fit by their bytes, and four thousand files of others took the names for them."""
    layout = OpaqueLayout(count=9000, sizes=Fixed(1))
    for number in range(4000):
        (small_disk / f"taken-{number}").touch()
    with pytest.raises(StoreFullError, match=r"inodes, [\d,]+ are free"):
        prepare(LocalStore(str(small_disk)), "set", layout)
    assert not (small_disk / dataset_path("set", layout)).exists()


@pytest.mark.root
@needs_root
def test_a_full_disk_can_be_cleaned(small_disk: Path) -> None:
    """Removal needs no space of its own."""
    store = LocalStore(str(small_disk))
    prepare(store, "set", OpaqueLayout(count=7000, sizes=Fixed(4096)))
    with pytest.raises(OSError, match="No space"), open(small_disk / "filler", "wb", buffering=0) as file:
        while file.write(b"\0" * 65_536) == 65_536:
            pass
        file.write(b"\0")
    assert remove(only(store)).objects == 7000
    assert os.listdir(small_disk) == ["filler"]


@pytest.mark.root
@needs_root
def test_a_read_only_store_is_one_clear_line(small_disk: Path) -> None:
    """Nothing but the message."""
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)  # noqa: S607
    with pytest.raises(StoreError, match="cannot prepare here: Read-only file system"):
        prepare(LocalStore(str(small_disk)), "set", LAYOUT)


TEN_MILLION = """
import re, sys
from dataclasses import replace
from pathlib import Path
from ioprof.dataset.chunks import chunks
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.manifest import open_manifest, write_manifest
from ioprof.dataset.plan import make_plan
from ioprof.dataset.sizes import Lognormal
from ioprof.dataset.write import runs
from ioprof.store.local import LocalStore

class Roomy(LocalStore):
    # Nothing is written but the manifest: the disk need not hold the 40 GiB that the plan asks for.
    def capacity(self):
        return replace(super().capacity(), free_bytes=None, free_inodes=None)

layout = OpaqueLayout(count=10_000_000, sizes=Lognormal(2000, 0.7), files_per_dir=300)
store = Roomy(sys.argv[1])
store.make_dir(".ioprof")
plan = make_plan(store, layout, 2)
write_manifest(store, layout, plan.marker.total_bytes)
directories = sum(1 for _ in layout.directories())
# What a worker computes for one chunk in fifty, apart from the system calls.
for chunk in plan.remaining[::50]:
    for start, sizes in runs(layout, chunk):
        for index, size_bytes in enumerate(sizes, start):
            layout.path(index), layout.render(index, size_bytes)
assert int(open_manifest(store).sizes.sum()) == plan.marker.total_bytes
# Not ru_maxrss: that starts with the peak of whoever started this process, which may be a test suite with torch.
peak_kib = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(directories, peak_kib // 1024)
"""


def test_ten_million_objects_take_less_than_400_mib(tmp_path: Path) -> None:
    """All that preparation does but the writes, in one process: plan, manifest, names, sizes, content."""
    command = [sys.executable, "-c", TEN_MILLION, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stderr == ""
    directories, resident_mib = map(int, done.stdout.split())
    assert directories == 33_334 + 112
    assert resident_mib < 400


def test_preparation_imports_no_torch() -> None:
    """Neither the parent's side nor the worker's: it takes seconds and gigabytes of address space."""
    script = "import sys, ioprof.cli.prepare, ioprof.cli.clean, ioprof.dataset.worker; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "ioprof.dataset.worker" in modules.split()
    assert "torch" not in modules.split()


def shown(store: Store, layout: Layout, **flags: bool) -> tuple[Prepared, str]:
    """Prepare and return what was shown to someone without a terminal."""
    screen = io.StringIO()
    options = {"quiet": False, "verify": False, **flags}
    prepared = prepare_with_progress(store, "set", layout, console=Console(file=screen, width=80), **options)
    return prepared, screen.getvalue()


def test_the_command_says_what_stands_where_and_what_it_took(store: LocalStore) -> None:
    """One line each for preparation, verification and re-use; nothing when quiet."""
    _, first = shown(store, LAYOUT, verify=True)
    assert re.search(r"3,000 objects, .* MiB; 3,000 written in .*s by \w+ process.*objects/s, .*iB/s", first)
    assert re.search(r"verified: 3,000 objects, .* read back, all as written", first)
    _, second = shown(store, LAYOUT)
    assert second.endswith("complete already, used as it is\n")
    assert shown(store, LAYOUT, quiet=True)[1] == ""


def test_failed_verification_is_an_error_with_counts_and_names(store: LocalStore) -> None:
    """Exit code and message come from the error."""
    prepared, _ = shown(store, LAYOUT)
    paths(prepared.store, LAYOUT)[60].unlink()
    with pytest.raises(DatasetError, match=r"1 of 3,000 objects are damaged: 1 missing; first: .*60 \(missing\)"):
        shown(store, LAYOUT, verify=True)


def test_clean_asks_and_without_a_terminal_wants_a_flag(store: LocalStore) -> None:
    """Nothing is removed before a yes."""
    prepared = prepare(store, "set", LAYOUT)
    screen = io.StringIO()
    with pytest.raises(UsageError, match="--yes"):
        clean_store(store, store.url, console=Console(file=screen), assume_yes=False)
    assert all(path.exists() for path in paths(prepared.store, LAYOUT))
    assert clean_store(store, store.url, console=Console(file=screen), assume_yes=True) == 0
    assert "removed 3,000 objects" in screen.getvalue()
    assert os.listdir(store.url) == []
    assert clean_store(store, store.url, console=Console(file=screen), assume_yes=True) == 0
    assert "nothing to remove" in screen.getvalue()
