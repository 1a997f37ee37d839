"""The workload `record-reads`: where records lie, what is read of them, and what is refused."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ioprof.workloads.record_places import RecordPlaces, Scatter
from pydantic import ValidationError

from ioprof.contract import MapWorkload
from ioprof.errors import SpecError
from ioprof.plugins import find_workload
from ioprof.store.fsspec_store import FsspecStore
from ioprof.store.local import LocalStore
from ioprof.trace.kinds import SHORT_READ, Kind
from tests.recorded_taps import content_of, counts, errors, held_below, stored, tapped
from tests.small_dataset import KnownSizes

RECORD_READS = find_workload("record-reads")
SMALL = {"files": 3, "file_size": "64KiB", "record_size": "4KiB"}
SIZES = KnownSizes([])


def _workload(**values: object) -> MapWorkload:
    made: MapWorkload = RECORD_READS(RECORD_READS.Params.model_validate({**SMALL, **values}), 7)  # type: ignore[assignment]
    return made


@given(count=st.integers(1, 3000), seed=st.integers(0, 2**63 - 1))
def test_scattering_is_a_permutation(count: int, seed: int) -> None:
    """Each number goes to one place and none is shared; numbers from the count on begin anew."""
    scatter = Scatter(count, seed)
    places = scatter.of(np.arange(count, dtype=np.int64))
    assert sorted(places.tolist()) == list(range(count))
    assert np.array_equal(scatter.of(np.arange(count, 2 * count, dtype=np.int64)), places)


def test_scattering_is_the_same_in_every_version() -> None:
    """A published run can be repeated: this is what seed 1 has always given, also far beyond 32 bits."""
    assert Scatter(10, 1).of(np.arange(10, dtype=np.int64)).tolist() == [8, 3, 0, 5, 9, 7, 4, 6, 2, 1]
    far = Scatter(10**15, 1).of(np.arange(3, dtype=np.int64)).tolist()
    assert far == [386379818779722, 969796703357679, 199852503349797]


def test_scattering_is_spread_evenly() -> None:
    """Tenths of the samples fall evenly on tenths of the places (chi-square, far out of a fair draw's reach)."""
    places = Scatter(10_000, 5).of(np.arange(10_000, dtype=np.int64))
    table = np.histogram2d(np.arange(10_000) // 1000, places // 1000, bins=10)[0]
    assert ((table - 100) ** 2 / 100).sum() < 160


@settings(max_examples=60)
@given(
    files=st.integers(1, 5),
    file_bytes=st.integers(1, 10_000),
    share=st.floats(0.001, 1.0),
    alignment_bytes=st.integers(1, 3000),
    seed=st.integers(0, 99),
)
def test_records_lie_inside_their_files(
    files: int, file_bytes: int, share: float, alignment_bytes: int, seed: int
) -> None:
    """Whatever the sizes: at multiples of the alignment, and distinct as long as there are places."""
    record_bytes = max(1, int(file_bytes * share))
    places = RecordPlaces(
        files=files, file_bytes=file_bytes, record_bytes=record_bytes, alignment_bytes=alignment_bytes, seed=seed
    )
    there_are = files * ((file_bytes - record_bytes) // alignment_bytes + 1)
    found = list(zip(*places.of(np.arange(min(there_are, 500), dtype=np.int64)), strict=True))
    assert len(set(found)) == len(found)
    for file, offset in found:
        assert 0 <= file < files
        assert offset % alignment_bytes == 0
        assert 0 <= offset <= file_bytes - record_bytes


def test_records_of_default_alignment_tile_the_files(tmp_path: Path, trace_dir: Path) -> None:
    """An epoch reads every byte once, in an order that is another in the next."""
    workload = _workload()
    assert workload.samples() == 3 * 16
    store = stored(workload, tmp_path / "store")
    with tapped(store, trace_dir) as tap:
        read = workload.reader(SIZES).read(tap, workload.order(0).tolist())
        assert (tap.tapped_bytes, tap.tapped_page_bytes) == (3 << 16, 3 << 16)
    whole = {content_of(workload, obj)[at : at + 4096] for obj in range(3) for at in range(0, 1 << 16, 4096)}
    assert set(read) == whole
    assert workload.order(0).tolist() != workload.order(1).tolist()


def test_a_sample_is_the_same_record_wherever_it_is_read(tmp_path: Path, trace_dir: Path) -> None:
    """Alone or in a batch, in this process or after a journey to another, with O_DIRECT or without."""
    workload = _workload(alignment=1, record_size=1500, records=40)
    store = stored(workload, tmp_path / "store")
    with tapped(store, trace_dir) as tap:
        together = list(workload.reader(SIZES).read(tap, list(range(40))))
    travelled = pickle.loads(pickle.dumps(workload.reader(SIZES)))  # noqa: S301 - made in the line itself
    with tapped(store, trace_dir, worker=1) as tap:
        assert [travelled.read(tap, [sample])[0] for sample in range(40)] == together
    direct = _workload(alignment=1, record_size=1500, records=40, direct=True)
    try:
        direct.check_store(store)  # type: ignore[attr-defined]
    except SpecError:
        return
    with tapped(store, trace_dir, worker=2) as tap:
        assert list(direct.reader(SIZES).read(tap, list(range(40)))) == together


@pytest.mark.parametrize(("keep_open", "opens"), [(0, 48), (1, None), (64, 3)])
def test_files_are_kept_open_or_opened_for_each_record(
    keep_open: int, opens: int | None, tmp_path: Path, trace_dir: Path
) -> None:
    """None kept: an open for each read. All kept: one for each file. One kept: something between."""
    workload = _workload(keep_open=keep_open)
    store = stored(workload, tmp_path / "store")
    with tapped(store, trace_dir) as tap:
        workload.reader(SIZES).read(tap, workload.order(0).tolist())
    assert held_below(tmp_path / "store") == []
    found = counts(trace_dir)
    assert found[Kind.OPEN] == found[Kind.CLOSE]
    assert found[Kind.READ] == 48
    assert found[Kind.OPEN] == opens or (opens is None and 3 < found[Kind.OPEN] < 48)


def test_records_behind_the_end_of_a_file_cut_short_are_lost_and_counted(tmp_path: Path, trace_dir: Path) -> None:
    """Half of one file's records are left out, each a short read; the others come."""
    workload = _workload()
    store = stored(workload, tmp_path / "store")
    os.truncate(tmp_path / "store" / workload.layout().path(1), 8 * 4096)
    with tapped(store, trace_dir) as tap:
        assert len(workload.reader(SIZES).read(tap, workload.order(0).tolist())) == 48 - 8
        assert tap.failed_samples == 8
    assert errors(trace_dir) == {(Kind.READ, SHORT_READ): 8}


def test_records_of_a_missing_file_are_lost_and_counted(tmp_path: Path, trace_dir: Path) -> None:
    """Every one of them, and the run can go on."""
    workload = _workload()
    store = stored(workload, tmp_path / "store")
    store.unlink(workload.layout().path(2))
    with tapped(store, trace_dir) as tap:
        assert len(workload.reader(SIZES).read(tap, workload.order(0).tolist())) == 32
        assert tap.failed_samples == 16
        assert workload.discover(store, tap) == 32


def test_decoding_is_recorded_for_each_record(tmp_path: Path, trace_dir: Path) -> None:
    """And leaves the bytes alone."""
    workload = _workload(decode="300us")
    store = stored(workload, tmp_path / "store")
    with tapped(store, trace_dir) as tap:
        read = workload.reader(SIZES).read(tap, [5, 6])
    assert list(map(len, read)) == [4096, 4096]
    assert counts(trace_dir)[Kind.DECODE] == 2


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"record_size": "65KiB"}, "larger than its file"),
        ({"record_size": "2GiB", "file_size": "1TiB"}, "less than or equal"),
        ({"direct": True, "alignment": 3000}, "power of two"),
        ({"direct": True, "record_size": 3000}, "power of two"),
        ({"alignment": 0}, "greater than or equal"),
        ({"files": 0}, "greater than or equal"),
        ({"records": 0}, "greater than or equal"),
        ({"keep_open": -1}, "greater than or equal"),
        ({"file_sise": 3}, "Extra inputs"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(values: dict[str, object], told: str) -> None:
    """Each with what is wrong with it."""
    with pytest.raises(ValidationError, match=told):
        _workload(**values)


def test_direct_reads_need_a_local_store_on_a_device(tmp_path: Path) -> None:
    """A remote store is refused before anything is prepared; without direct reads it is welcome."""
    remote = FsspecStore("memory://records")
    with pytest.raises(SpecError, match="memory://records is not a local path"):
        _workload(direct=True).check_store(remote)  # type: ignore[attr-defined]
    _workload().check_store(remote)  # type: ignore[attr-defined]
    _workload().check_store(LocalStore(str(tmp_path)))  # type: ignore[attr-defined]
