"""Reads within libraries, as the taps at their seams see them; the real libraries, real files, this process."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from ioprof.trace.kinds import Kind
from tests.unit.capture_ways import Seen, capturing

ITEMS = 100_000
SIZE_BYTES = ITEMS * 8


@pytest.fixture
def array(tmp_path: Path) -> Path:
    """Numbers in a file of numpy's."""
    np.save(tmp_path / "all.npy", np.arange(ITEMS))
    return tmp_path / "all.npy"


def _last(path: Path) -> float:
    return float(np.load(path)[-1])


def _read_from_its_name(path: Path) -> float:
    return float(np.fromfile(path, np.int64, offset=128)[-1])


def _read_from_a_file(path: Path) -> float:
    with path.open("rb", buffering=0) as file:
        return float(np.fromfile(file, np.int64, -1, "", 128)[-1])


@pytest.mark.parametrize("read", [_last, _read_from_its_name, _read_from_a_file])
def test_an_array_that_numpy_reads_by_itself_is_seen(
    read: Callable[[Path], float], array: Path, tmp_path: Path
) -> None:
    """One open and one close; bytes as the kernel counts them, but for what C's buffer reads too much."""
    with capturing(tmp_path / "trace") as (_, seen):
        assert read(array) == ITEMS - 1
    assert seen[0].counts(Kind.OPEN) == seen[0].counts(Kind.CLOSE) == (1, 0, 0)
    assert seen[0].counts(Kind.READ)[1] == seen[0].io.tapped_bytes >= SIZE_BYTES
    assert seen[0].ratio == pytest.approx(1.0, abs=0.02)


def test_numpy_behaves_as_ever(array: Path, tmp_path: Path) -> None:
    """Values, arguments by name, text, errors; and the same function as before once the taps are gone."""
    before, words = np.fromfile, tmp_path / "words.txt"
    words.write_text("1 2 3")
    with capturing(tmp_path / "trace") as (_, seen):
        assert np.fromfile is not before
        assert np.fromfile(file=str(array), dtype=np.int64, count=2, offset=136).tolist() == [1, 2]
        assert np.fromfile(words, sep=" ").tolist() == [1.0, 2.0, 3.0]
        with pytest.raises(FileNotFoundError, match=r"No such file or directory: '\./nothing'"):
            np.fromfile("./nothing")
        with pytest.raises(TypeError):
            np.fromfile()
        with pytest.raises(OSError, match="Invalid argument"):
            np.fromfile(array, np.int64, offset=-1)
    assert np.fromfile is before
    assert (seen[0].counts(Kind.OPEN)[2], seen[0].counts(Kind.READ)[2]) == (1, 1)


def _image(path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    image.effect_noise((200, 100), 50).save(path.with_suffix(".png"))


def _saved(path: Path) -> None:
    torch.save(torch.arange(ITEMS), path.with_suffix(".pt"))


def _decode(path: Path) -> None:
    with importlib.import_module("PIL.Image").open(path.with_suffix(".png")) as image:
        assert image.convert("RGB").size == (200, 100)


def _restore(path: Path) -> None:
    assert int(torch.load(path.with_suffix(".pt"))[-1]) == ITEMS - 1


@pytest.mark.parametrize(("write", "read"), [(_image, _decode), (_saved, _restore)])
def test_images_and_checkpoints_are_read_where_the_taps_see_it(
    write: Callable[[Path], None], read: Callable[[Path], None], tmp_path: Path
) -> None:
    """PIL and torch.load, to the byte: both read through Python's files."""
    write(tmp_path / "one")
    with capturing(tmp_path / "trace") as (_, seen):
        read(tmp_path / "one")
    assert seen[0].counts(Kind.OPEN)[0] == seen[0].counts(Kind.CLOSE)[0] == 1
    assert seen[0].counts(Kind.READ)[1] == seen[0].io.tapped_bytes > 10_000
    assert seen[0].ratio == pytest.approx(1.0, abs=0.01)


def _mapped(seen: list[Seen]) -> tuple[int, int]:
    return seen[0].io.latent_files, seen[0].io.latent_bytes


def test_a_mapping_of_pyarrows_is_counted_while_it_lasts(array: Path, tmp_path: Path) -> None:
    """Twice mapped and gone again: two files, and as long as both."""
    before = pa.memory_map
    with capturing(tmp_path / "trace") as (_, seen):
        for _ in range(2):
            with pa.memory_map(str(array)) as file:
                assert len(file.read_at(8, 128)) == 8
        with pytest.raises(FileNotFoundError):
            pa.memory_map("nothing")
    assert pa.memory_map is before
    assert seen[0].counts(Kind.MAP) == (3, 0, 1)
    assert _mapped(seen) == (2, 2 * array.stat().st_size)


def test_a_seam_follows_the_import_and_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that is imported later has its own loader, is tapped, and is as ever when the taps are gone."""
    (tmp_path / "later.py").write_text("def read():\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    follow_imports = importlib.import_module("ioprof.capture.seams").follow_imports
    undo: list[Callable[[], None]] = []
    finders = list(sys.meta_path)

    def seam(module: object) -> list[Callable[[], None]]:
        original = module.read
        module.read = lambda: original() + 1
        return [lambda: setattr(module, "read", original)]

    try:
        follow_imports({"later": seam, "never.there": seam}, undo)
        found = importlib.util.find_spec("later")
        assert found.loader.get_source("later").startswith("def read")
        later = importlib.import_module("later")
        assert later.read() == 2
        assert type(later.__loader__).__name__ == type(later.__spec__.loader).__name__ == "SourceFileLoader"
        with pytest.raises(ModuleNotFoundError, match="No module named 'never'"):
            importlib.import_module("never.there")
    finally:
        for step in reversed(undo):
            step()
        sys.modules.pop("later", None)
    assert later.read() == 1
    assert sys.meta_path == finders
