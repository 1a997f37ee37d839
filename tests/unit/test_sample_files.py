"""Files as benchmark configurations describe them: real containers, read as DLIO reads them."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ioprof.workloads.framed import FramedLayout, NpyFrame, NpzFrame
from ioprof.workloads.sample_files import FileSet, SampleFiles

from ioprof.dataset.sizes import Normal
from ioprof.errors import SpecError
from ioprof.store.local import LocalStore
from ioprof.store.local_tap import tap_store
from ioprof.store.tap import Tap
from ioprof.trace.kinds import Kind
from ioprof.trace.place_word import KIND_MASK
from ioprof.trace.recorder import Recorder
from tests.open_descriptors import open_below
from tests.small_dataset import KnownSizes


def _files(**changed: object) -> FileSet:
    values = {"format": "npz", "files": 5, "samples_per_file": 1, "record_bytes": 10_000, "files_per_dir": 100}
    return FileSet(**{**values, **changed})  # type: ignore[arg-type]


def _written(files: FileSet, folder: Path) -> tuple[SampleFiles, LocalStore, KnownSizes]:
    made, store = SampleFiles(files, 7), LocalStore(str(folder / "store"))
    layout = made.layout()
    sizes = KnownSizes(layout.sizes(0, layout.count).tolist())
    for directory in layout.directories():
        store.make_dir(directory)
    for obj in range(layout.count):
        store.write(layout.path(obj), bytes(layout.render(obj, sizes.sizes_bytes[obj])))
    return made, store, sizes


def _tap(store: LocalStore, trace_dir: Path) -> Tap:
    recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=1000)
    recorder.begin(1, epoch=0, batch=0)  # type: ignore[arg-type]
    return tap_store(store, recorder)


@settings(max_examples=30)
@given(record_bytes=st.integers(1, 3_000_000), index=st.integers(0, 4))
def test_an_npz_file_is_what_numpy_and_zip_tools_read(record_bytes: int, index: int) -> None:
    """One uncompressed array of so many bytes, checksum right; the same bytes whole or in pieces."""
    layout = FramedLayout(
        NpzFrame(), count=5, sizes=Normal(record_bytes, 0), files_per_dir=9, seed=3, largest_bytes=record_bytes
    )
    size_bytes = int(layout.sizes(index, index + 1)[0])
    content = layout.render(index, size_bytes)
    assert len(content) == size_bytes
    assert b"".join(map(bytes, layout.pieces(index, size_bytes))) == content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert [(one.filename, one.compress_type) for one in archive.infolist()] == [("x.npy", zipfile.ZIP_STORED)]
    array = np.load(io.BytesIO(content))["x"]
    assert (array.dtype, array.shape) == (np.uint8, (record_bytes,))


def test_an_npy_file_is_what_numpy_reads() -> None:
    """The array holds the sample's bytes, which differ from file to file."""
    layout = FramedLayout(NpyFrame(), count=2, sizes=Normal(5000, 0), files_per_dir=9, seed=3, largest_bytes=5000)
    arrays = [np.load(io.BytesIO(layout.render(obj, 5128))) for obj in (0, 1)]
    assert arrays[0].shape == (5000,)
    assert not np.array_equal(*arrays)


def test_normal_sizes_have_the_published_mean_and_spread() -> None:
    """3D U-Net's: the mean is kept by a cut that is even on both sides."""
    sizes = Normal(146_600_628, 68_341_808).draw(np.random.PCG64(1), 60_000)
    assert sizes.mean() == pytest.approx(146_600_628, rel=0.01)
    assert sizes.std() == pytest.approx(68_341_808, rel=0.05)
    assert (sizes.min() > 0, sizes.max() < 2 * 146_600_628) == (True, True)


@pytest.mark.parametrize(("mean", "stdev"), [(0, 0), (100, -1), (100, 101)])
def test_normal_sizes_out_of_range_are_refused(mean: int, stdev: int) -> None:
    """With the value."""
    with pytest.raises(SpecError, match=str(stdev if mean else mean)):
        Normal(mean, stdev)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"samples_per_file": 2, "format": "jpeg"}, "2 samples per file of format jpeg"),
        ({"format": "indexed_binary", "record_stdev_bytes": 5}, "differing sizes in indexed_binary"),
        ({"record_bytes": 5 * 2**30}, "npz files here hold less than 4 GiB"),
    ],
)
def test_what_a_format_cannot_hold_is_refused(changed: dict[str, object], message: str) -> None:
    """Before anything is written."""
    with pytest.raises(SpecError, match=message):
        SampleFiles(_files(**changed), 7)


@pytest.mark.parametrize("delivered_bytes", [None, 777, 99_999])
def test_a_sample_is_one_open_and_one_read_of_the_whole_file(
    delivered_bytes: int | None, tmp_path: Path, trace_dir: Path
) -> None:
    """What is handed on is the file, or the constant that stands for the resized sample."""
    made, store, sizes = _written(_files(record_stdev_bytes=3000, delivered_bytes=delivered_bytes), tmp_path)
    tap = _tap(store, trace_dir)
    reader = pickle.loads(pickle.dumps(made.reader(sizes)))  # noqa: S301 - our own
    samples = reader.read(tap, [3, 0])
    assert tap.tapped_bytes == sizes.sizes_bytes[3] + sizes.sizes_bytes[0]
    if delivered_bytes is None:
        assert samples[0] == (tmp_path / "store" / made.layout().path(3)).read_bytes()
    else:
        assert list(map(len, samples)) == [delivered_bytes] * 2
        assert samples[0] != samples[1]
    tap.recorder.close()


def test_samples_of_one_npz_file_are_read_by_reading_all_of_it_each_time(tmp_path: Path, trace_dir: Path) -> None:
    """As DLIO does; what is handed on is the sample's own part of the array."""
    made, store, sizes = _written(_files(files=2, samples_per_file=4, record_bytes=1000), tmp_path)
    assert made.samples() == 8
    tap = _tap(store, trace_dir)
    samples = made.reader(sizes).read(tap, [5, 0])
    arrays = [np.load(tmp_path / "store" / made.layout().path(obj))["x"] for obj in (0, 1)]
    assert list(map(bytes, samples)) == [arrays[1][1000:2000].tobytes(), arrays[0][:1000].tobytes()]
    assert tap.tapped_bytes == sum(sizes.sizes_bytes)
    tap.recorder.close()


def test_samples_that_share_a_file_are_read_at_their_offsets(tmp_path: Path, trace_dir: Path) -> None:
    """Sample n of a file of 4 is the n-th record; each file is opened once."""
    files = _files(format="indexed_binary", files=2, samples_per_file=4, record_bytes=1000)
    made, store, sizes = _written(files, tmp_path)
    tap = _tap(store, trace_dir)
    reader = made.reader(sizes)
    samples = reader.read(tap, [5, 0, 7])
    whole = [(tmp_path / "store" / made.layout().path(obj)).read_bytes() for obj in (0, 1)]
    assert samples == [whole[1][1000:2000], whole[0][:1000], whole[1][3000:4000]]
    opens = [tap.recorder.singles[at] & KIND_MASK for at in range(0, len(tap.recorder.singles), 6)].count(Kind.OPEN)
    assert opens == 2
    pickle.loads(pickle.dumps(reader))  # noqa: S301 - open files stay behind
    tap.recorder.close()


def test_shared_files_are_closed_with_the_tap_that_opened_them(tmp_path: Path, trace_dir: Path) -> None:
    """Each is recorded as a close; another worker's tap over the same reader opens its own."""
    files = _files(format="indexed_binary", files=2, samples_per_file=4, record_bytes=1000)
    made, store, sizes = _written(files, tmp_path)
    (trace_dir / "other").mkdir()
    taps, reader = [_tap(store, trace_dir), _tap(store, trace_dir / "other")], made.reader(sizes)
    for tap in taps:
        reader.read(tap, [0, 5])
        tap.close()
        kinds = [tap.recorder.singles[at] & KIND_MASK for at in range(0, len(tap.recorder.singles), 6)]
        assert (kinds.count(Kind.OPEN), kinds.count(Kind.CLOSE)) == (2, 2)
    assert open_below(tmp_path / "store") == []
    for tap in taps:
        tap.recorder.close()


def test_a_truncated_shared_file_loses_its_samples_and_no_others(tmp_path: Path, trace_dir: Path) -> None:
    """They are counted; the rest is delivered."""
    files = _files(format="indexed_binary", files=2, samples_per_file=4, record_bytes=1000)
    made, store, sizes = _written(files, tmp_path)
    path = tmp_path / "store" / made.layout().path(0)
    path.write_bytes(path.read_bytes()[:2500])
    tap = _tap(store, trace_dir)
    assert len(made.reader(sizes).read(tap, [0, 1, 2, 3, 4])) == 3
    assert tap.failed_samples == 2
    tap.recorder.close()


def test_a_preprocessing_time_is_slept_and_told_as_decode(tmp_path: Path, trace_dir: Path) -> None:
    """Once per sample, at least as long as asked."""
    made, store, sizes = _written(_files(preprocess_ns=2_000_000), tmp_path)
    tap = _tap(store, trace_dir)
    made.reader(sizes).read(tap, [0, 1])
    singles = tap.recorder.singles
    slept = [
        end - start for kind, start, end in zip(*(singles[n::6] for n in range(3)), strict=True) if kind == Kind.DECODE
    ]
    assert len(slept) == 2
    assert min(slept) >= 2_000_000
    tap.recorder.close()


def test_shuffling_is_off_once_or_anew_for_each_epoch() -> None:
    """Each sample once in any case."""
    orders = {
        how: [tuple(SampleFiles(_files(files=50, shuffle=how), 7).order(epoch).tolist()) for epoch in (0, 1)]
        for how in ("off", "once", "epoch")
    }
    assert orders["off"] == [tuple(range(50))] * 2
    assert orders["once"][0] == orders["once"][1] != orders["off"][0]
    assert orders["epoch"][0] != orders["epoch"][1]
    assert all(sorted(order) == list(range(50)) for two in orders.values() for order in two)
