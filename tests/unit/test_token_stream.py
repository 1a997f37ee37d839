"""The workload `token-stream`: token files, their indexes, and windows read by mapping or by pread."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ioprof.workloads.token_index import HEADER_BYTES, IndexHeader, TokenLayout, check_index, document_offsets
from pydantic import ValidationError

from ioprof.contract import MapWorkload
from ioprof.errors import DatasetError, SpecError
from ioprof.plugins import find_workload
from ioprof.store.fsspec_store import FsspecStore
from ioprof.trace.kinds import SHORT_READ, Kind
from tests.recorded_taps import content_of, counts, errors, held_below, recorded_bytes, stored, tapped
from tests.small_dataset import KnownSizes

TOKEN_STREAM = find_workload("token-stream")
SMALL = {"files": 3, "file_size": 40_000, "sequence_length": 512, "document_tokens": 100}
SIZES = KnownSizes([])
HEADERS = st.integers(1, 5000).flatmap(
    lambda tokens: st.builds(
        IndexHeader, token_bytes=st.sampled_from([2, 4]), tokens=st.just(tokens), documents=st.integers(1, tokens)
    )
)


def _workload(**values: object) -> MapWorkload:
    made: MapWorkload = TOKEN_STREAM(TOKEN_STREAM.Params.model_validate({**SMALL, **values}), 7)  # type: ignore[assignment]
    return made


def _window(workload: MapWorkload, sample: int, *, token_bytes: int = 2, length: int = 512) -> bytes:
    per_file = workload.samples() // 3
    start = sample % per_file * length * token_bytes
    return content_of(workload, 2 * (sample // per_file))[start : start + (length + 1) * token_bytes]


@settings(max_examples=60)
@given(header=HEADERS, file=st.integers(0, 10**6), seed=st.integers(0, 2**63 - 1))
def test_documents_fill_a_file_without_gaps(header: IndexHeader, file: int, seed: int) -> None:
    """The first begins with the first token, each has one at least, the last ends with the last one."""
    offsets = document_offsets(header, file, seed).astype(np.int64)
    assert len(offsets) == header.documents + 1
    assert (offsets[0], offsets[-1]) == (0, header.tokens)
    assert (np.diff(offsets) > 0).all()
    layout = TokenLayout(files=file + 1, header=header, seed=seed)
    check_index("x", bytes(layout.render(2 * file + 1, header.index_bytes)), header)


def test_an_index_is_the_same_in_every_version() -> None:
    """A dataset can be made again: this is what seed 1 has always given."""
    header = IndexHeader(token_bytes=2, tokens=100, documents=5)
    assert document_offsets(header, 3, 1).tolist() == [0, 6, 25, 40, 99, 100]


def test_pieces_of_an_object_are_the_whole_of_it() -> None:
    """Token files and large indexes alike."""
    layout = TokenLayout(files=1, header=IndexHeader(token_bytes=4, tokens=700_000, documents=300_000), seed=3)
    for obj, size_bytes in enumerate(layout.sizes(0, 2).tolist()):
        assert size_bytes > 2 * 1024**2
        assert b"".join(map(bytes, layout.pieces(obj, size_bytes))) == bytes(layout.render(obj, size_bytes))


@pytest.mark.parametrize("access", ["mmap", "pread"])
@pytest.mark.parametrize("token_type", ["uint16", "uint32"])
def test_windows_share_one_token_with_the_next(access: str, token_type: str, tmp_path: Path, trace_dir: Path) -> None:
    """A sample is sequence_length + 1 tokens, also after the reader's journey; every operation is counted."""
    workload = _workload(access=access, token_type=token_type)
    token_bytes = {"uint16": 2, "uint32": 4}[token_type]
    assert workload.samples() == 3 * ((40_000 // token_bytes - 1) // 512)
    store = stored(workload, tmp_path / "store")
    reader = pickle.loads(pickle.dumps(workload.reader(SIZES)))  # noqa: S301 - made in the line itself
    wanted = [0, 1, workload.samples() - 1, 1]
    with tapped(store, trace_dir) as tap:
        read = [bytes(content) for content in reader.read(tap, wanted)]
        assert read == [_window(workload, sample, token_bytes=token_bytes) for sample in wanted]
        assert held_below(tmp_path / "store") != []
        assert tap.mapped_bytes == (4 * 513 * token_bytes if access == "mmap" else 0)
    assert held_below(tmp_path / "store") == []
    assert read[0][-token_bytes:] == read[1][:token_bytes]
    found = counts(trace_dir)
    assert found.get(Kind.TOUCH, 0) == (4 if access == "mmap" else 0)
    assert found.get(Kind.MAP, 0) == (2 if access == "mmap" else 0)
    assert found[Kind.OPEN] == found[Kind.CLOSE] == 4
    assert recorded_bytes(trace_dir, Kind.TOUCH if access == "mmap" else Kind.READ) >= 4 * 513 * token_bytes


def test_an_epoch_has_each_window_once() -> None:
    """In another order each time, or front to back."""
    workload = _workload()
    orders = [workload.order(epoch).tolist() for epoch in (0, 1, 0)]
    assert sorted(orders[0]) == list(range(workload.samples()))
    assert orders[0] == orders[2] != orders[1]
    assert _workload(shuffle=False).order(5).tolist() == sorted(orders[0])


@pytest.mark.parametrize(("access", "kind", "lost"), [("mmap", Kind.MAP, 39), ("pread", Kind.READ, 20)])
def test_windows_of_a_file_cut_short_are_lost_and_counted(
    access: str, kind: Kind, lost: int, tmp_path: Path, trace_dir: Path
) -> None:
    """Mapping it is refused, so all of its windows are lost; pread loses those behind the end. No process dies."""
    workload = _workload(access=access, file_size=40_000)
    store = stored(workload, tmp_path / "store")
    os.truncate(tmp_path / "store" / workload.layout().path(2), 20_000)
    windows = list(range(39, 2 * 39))
    with tapped(store, trace_dir) as tap:
        assert len(workload.reader(SIZES).read(tap, windows)) == 39 - lost
        assert tap.failed_samples == lost
    assert errors(trace_dir) == {(kind, SHORT_READ): lost}


def _spoiled(workload: MapWorkload, folder: Path, stored_index: bytes) -> None:
    (folder / workload.layout().path(1)).write_bytes(stored_index)


HEADER = IndexHeader(token_bytes=2, tokens=20_000, documents=200)
GOOD = TokenLayout(files=3, header=HEADER, seed=7).render(1, HEADER.index_bytes)
OTHER = IndexHeader(token_bytes=2, tokens=20_001, documents=200)
BAD_INDEXES = {
    "not an index": (b"PK" + bytes(GOOD[2:]), "not an index"),
    "another version": (GOOD[:8] + b"\x02" + bytes(GOOD[9:]), "version 2"),
    "of another file": (OTHER.packed() + bytes(GOOD[HEADER_BYTES:]), "does not match its token file"),
    "cut short": (bytes(GOOD[:-8]), "cut short"),
    "a header alone": (bytes(GOOD[:10]), "cut short"),
    "documents overlap": (bytes(GOOD[:HEADER_BYTES]) + bytes(len(GOOD) - HEADER_BYTES), "overlap"),
}


@pytest.mark.parametrize("case", BAD_INDEXES)
def test_an_index_that_does_not_match_ends_the_run(case: str, tmp_path: Path, trace_dir: Path) -> None:
    """One line that names the index: nothing read from such a file could be trusted."""
    workload = _workload()
    store = stored(workload, tmp_path / "store")
    content, told = BAD_INDEXES[case]
    _spoiled(workload, tmp_path / "store", content)
    with tapped(store, trace_dir) as tap, pytest.raises(DatasetError, match=rf"0/0\.idx.*{told}"):
        workload.reader(SIZES).read(tap, [0])


def test_discovery_reads_the_header_of_every_index(tmp_path: Path, trace_dir: Path) -> None:
    """Missing files are missed, and an index of something else is told at once."""
    workload = _workload()
    store = stored(workload, tmp_path / "store")
    with tapped(store, trace_dir) as tap:
        assert workload.discover(store, tap) == workload.samples() == 117
        store.unlink(workload.layout().path(5))
        assert workload.discover(store, tap) == 78
        _spoiled(workload, tmp_path / "store", OTHER.packed())
        with pytest.raises(DatasetError, match="does not match"):
            workload.discover(store, tap)
        _spoiled(workload, tmp_path / "store", b"IOPR")
        with pytest.raises(DatasetError, match="cut short"):
            workload.discover(store, tap)


def test_windows_of_a_missing_file_are_lost(tmp_path: Path, trace_dir: Path) -> None:
    """Its index is missing: every window is counted as failed, the others come."""
    workload = _workload()
    store = stored(workload, tmp_path / "store")
    store.unlink(workload.layout().path(1))
    with tapped(store, trace_dir) as tap:
        assert len(workload.reader(SIZES).read(tap, [0, 1, 50])) == 1
        assert tap.failed_samples == 2


def test_decoding_is_recorded_for_each_window(tmp_path: Path, trace_dir: Path) -> None:
    """And leaves the tokens alone."""
    workload = _workload(decode="300us")
    store = stored(workload, tmp_path / "store")
    with tapped(store, trace_dir) as tap:
        assert bytes(workload.reader(SIZES).read(tap, [9])[0]) == _window(workload, 9)
    assert counts(trace_dir)[Kind.DECODE] == 1


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"sequence_length": 20_000}, "a window of 20,001 tokens is longer than a file of 20,000"),
        ({"token_type": "uint32", "sequence_length": 10_000}, "longer than a file of 10,000"),
        ({"token_type": "uint32", "file_size": 40_002}, "no whole number of uint32 tokens"),
        ({"token_type": "int8"}, "Input should be"),
        ({"access": "pread", "madvise": "random"}, "no effect on pread"),
        ({"madvise": "willneed"}, "Input should be"),
        ({"sequence_length": 0}, "greater than or equal"),
        ({"document_tokens": 0}, "greater than or equal"),
        ({"files": 0}, "greater than or equal"),
    ],
)
def test_parameters_that_make_no_sense_are_refused(values: dict[str, object], told: str) -> None:
    """Each with what is wrong with it."""
    with pytest.raises(ValidationError, match=told):
        _workload(**values)


def test_only_local_files_can_be_mapped() -> None:
    """A remote store is refused before anything is prepared; pread takes it."""
    remote = FsspecStore("memory://tokens")
    with pytest.raises(SpecError, match=r"memory://tokens is not a local path.*--access pread"):
        _workload().check_store(remote)  # type: ignore[attr-defined]
    _workload(access="pread").check_store(remote)  # type: ignore[attr-defined]
