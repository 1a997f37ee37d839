"""The workload `streaming-shards`: parts that share shards without overlap, shuffles that repeat, bounded memory."""

from __future__ import annotations

import os
import pickle
import random
from pathlib import Path

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ioprof.workloads.shards.stream import shares, shuffled
from pydantic import ValidationError

from ioprof.contract import Part
from ioprof.formats.buffers import BufferPool
from ioprof.formats.errors import ShardError
from ioprof.formats.window import Window
from ioprof.plugins import find_workload
from ioprof.store.local_tap import tap_store
from ioprof.store.tap_file import ShortReadError
from ioprof.trace.kinds import Kind
from tests.open_descriptors import open_below
from tests.shard_dataset import FORMATS, local_shards

STREAMING_SHARDS = find_workload("streaming-shards")
SPLITTABLE = ("parquet", "arrow", "raw")


@settings(max_examples=200)
@given(
    shards=st.integers(1, 12), samples=st.integers(1, 50), unit=st.none() | st.integers(1, 60), parts=st.integers(1, 40)
)
def test_parts_share_the_samples_without_overlap_or_loss(
    shards: int, samples: int, unit: int | None, parts: int
) -> None:
    """For any number of parts; each sample once, and shares begin and end on the border of a unit."""
    found: list[tuple[int, int]] = []
    for part in range(parts):
        for share in shares(list(range(shards)), samples, unit, part, parts):
            assert 0 <= share.first < share.stop <= samples
            if unit is not None:
                assert share.first % unit == 0
                assert share.stop % unit == 0 or share.stop == samples
            found += [(share.shard, sample) for sample in range(share.first, share.stop)]
    assert sorted(found) == [(shard, sample) for shard in range(shards) for sample in range(samples)]


@given(shards=st.integers(1, 12), parts=st.integers(1, 12))
def test_parts_differ_by_one_shard_at_most(shards: int, parts: int) -> None:
    """Where there are shards enough they are not split, and nobody gets two more than another."""
    counts = [len(shares(list(range(shards)), 7, None, part, parts)) for part in range(parts)]
    assert max(counts) - min(counts) <= 1
    assert sum(counts) == shards


@given(shards=st.integers(1, 5), samples=st.integers(1, 50), parts=st.integers(6, 40))
def test_units_are_shared_evenly_among_more_parts_than_shards(shards: int, samples: int, parts: int) -> None:
    """Record by record: nobody gets two more than another."""
    counts = [
        sum(share.stop - share.first for share in shares(list(range(shards)), samples, 1, part, parts))
        for part in range(parts)
    ]
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("parts", [1, 2, 3, 5, 8])
@pytest.mark.parametrize("name", FORMATS)
def test_each_sample_comes_once_over_all_parts(name: str, parts: int, tmp_path: Path) -> None:
    """With everything shuffled, for more parts than shards too; the same again for the same epoch."""
    dataset = local_shards(tmp_path, format=name, shuffle_shards=True, shuffle_buffer=5)
    for epoch in (0, 1):
        read = [dataset.samples(epoch, part, parts) for part in range(parts)]
        assert len({sample for one in read for sample in one}) == sum(map(len, read)) == 33
        assert read == [dataset.samples(epoch, part, parts) for part in range(parts)]
        busy = sum(map(bool, read))
        assert busy == (parts if name in SPLITTABLE else min(parts, 3))
    assert dataset.errors() == []


def test_epochs_and_seeds_differ(tmp_path: Path) -> None:
    """Neither shards nor samples come in the same order twice, unless they are not shuffled at all."""
    dataset = local_shards(tmp_path, shards=6, samples_per_shard=20, shuffle_shards=True, shuffle_buffer=10)
    assert len({tuple(dataset.samples(epoch)) for epoch in range(6)}) == 6
    assert len({tuple(dataset.stream.shard_order(epoch)) for epoch in range(6)}) > 3
    (tmp_path / "still").mkdir()
    still = local_shards(tmp_path / "still", shards=6)
    assert still.samples(0) == still.samples(5)


def test_the_order_of_shards_is_the_same_in_every_version() -> None:
    """A published run can be repeated: this is what seed 1 has always given."""
    workload = STREAMING_SHARDS(STREAMING_SHARDS.Params.model_validate({"shards": 6}), 1)
    stream = workload.stream(None)
    assert [stream.shard_order(epoch) for epoch in (0, 1)] == [[2, 0, 4, 3, 5, 1], [5, 1, 3, 2, 0, 4]]


@settings(max_examples=50)
@given(samples=st.integers(0, 300), held=st.integers(2, 50), seed=st.integers(0, 2**32))
def test_a_shuffle_buffer_loses_nothing_and_moves_nothing_far_ahead(samples: int, held: int, seed: int) -> None:
    """Each sample once; none comes before ``held`` of its followers could be there."""
    stream = (number.to_bytes(2, "big") for number in range(samples))
    found = [int.from_bytes(sample, "big") for sample in shuffled(stream, held, np.random.PCG64(seed))]
    assert sorted(found) == list(range(samples))
    assert all(number < place + held for place, number in enumerate(found))


def test_what_is_drawn_from_the_buffer_is_spread_evenly() -> None:
    """The first sample out is each of the eight held about equally often (chi-square, out of a fair one's reach)."""
    first = [
        int.from_bytes(next(shuffled((bytes([n]) for n in range(100)), 8, np.random.PCG64(seed))), "big")
        for seed in range(800)
    ]
    counts = np.bincount(first, minlength=8)
    assert ((counts - 100) ** 2 / 100).sum() < 40


@pytest.mark.parametrize("name", FORMATS)
def test_what_was_yielded_stays_as_it_is(name: str, tmp_path: Path) -> None:
    """Views that are held while the stream goes on show what they showed; a random half is let go on the way."""
    dataset = local_shards(tmp_path, format=name, samples_per_shard=100)
    expected = dataset.samples()
    chance, held = random.Random(1), dict[int, bytes | memoryview]()
    for number, sample in enumerate(dataset.views()):
        held[number] = sample
        if chance.random() < 0.5:
            del held[chance.choice(list(held))]
    assert len(held) > 100
    assert all(bytes(sample) == expected[number] for number, sample in held.items())


def test_buffers_are_used_again_only_when_nobody_looks() -> None:
    """A view of a view counts; when the last is gone, the memory comes back."""
    pool = BufferPool()
    first = pool.take(5000)
    part = first[10:20][2:4]
    del first
    second = pool.take(5000)
    second[:] = b"2" * 5000
    assert bytes(part) == bytes(2)
    del part
    third = pool.take(4000)
    third[:] = b"3" * 4000
    assert bytes(second) == b"2" * 5000
    assert len(pool.take(6000)) == 6000


class _Memory:
    """An object in memory that ends where it ends; notes what it is asked for."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[tuple[int, int]] = []

    def read_into(self, buffer: memoryview, offset: int) -> None:
        self.asked.append((offset, len(buffer)))
        found = self.content[offset : offset + len(buffer)]
        buffer[: len(found)] = found
        if len(found) < len(buffer):
            raise ShortReadError("too short", offset + len(found))


@settings(max_examples=100)
@given(sizes=st.lists(st.integers(0, 300), max_size=40), read_bytes=st.integers(1, 100), start=st.integers(0, 50))
def test_a_window_shows_every_byte_once_by_whole_reads(sizes: list[int], read_bytes: int, start: int) -> None:
    """Whatever is taken: reads follow each other, all of one size but the last."""
    content = random.Random(1).randbytes(start + sum(sizes))
    file = _Memory(content)
    window = Window(file, BufferPool(), read_bytes=read_bytes, start=start, stop=len(content))  # type: ignore[arg-type]
    assert b"".join(bytes(window.take(size)) for size in sizes) == content[start:]
    assert [offset for offset, _ in file.asked] == list(range(start, len(content), read_bytes))
    assert all(size == read_bytes for _, size in file.asked[:-1])
    with pytest.raises(ShardError):
        window.take(1)


@given(cut=st.integers(0, 99), read_bytes=st.integers(1, 100))
def test_a_window_shows_all_that_came_before_a_short_end(cut: int, read_bytes: int) -> None:
    """Byte by byte up to the cut, then the error, again and again."""
    window = Window(_Memory(bytes(cut)), BufferPool(), read_bytes=read_bytes, start=0, stop=100)  # type: ignore[arg-type]
    for _ in range(cut):
        window.take(1)
    for _ in range(2):
        with pytest.raises(ShortReadError):
            window.take(1)


@pytest.mark.parametrize("name", FORMATS)
def test_a_stream_that_is_left_half_way_closes_its_shard(name: str, tmp_path: Path) -> None:
    """As when a run ends by its duration."""
    dataset = local_shards(tmp_path, format=name)
    views = dataset.views()
    next(views)
    assert _open_shards(tmp_path) == 1
    views.close()  # type: ignore[attr-defined]
    assert _open_shards(tmp_path) == 0
    assert [kind for kind, *_ in dataset.operations()].count(Kind.CLOSE) == 1


def _open_shards(folder: Path) -> int:
    return len(open_below(folder / "store"))


@pytest.mark.parametrize("name", FORMATS)
def test_memory_does_not_grow_with_the_shard(name: str, tmp_path: Path) -> None:
    """A shard of 256 MiB is prepared and read within a fraction of it."""
    dataset = local_shards(
        tmp_path, format=name, shards=1, samples_per_shard=1024, sample_size="4KiB", row_group=64, read_size="1MiB"
    )
    (tmp_path / "large").mkdir()
    values = {"format": name, "shards": 1, "samples_per_shard": 2048, "sample_size": "128KiB", "row_group": 64}
    workload = STREAMING_SHARDS(STREAMING_SHARDS.Params.model_validate({**values, "shuffle_buffer": 64}), 7)
    layout = workload.layout()
    dataset.samples()
    before = psutil.Process().memory_info().rss
    path = tmp_path / "store" / layout.path(0)
    size_bytes = int(layout.sizes(0, 1)[0])
    with path.open("wb") as file:
        for piece in layout.pieces(0, size_bytes):
            file.write(piece)
    dataset.sizes.sizes_bytes[0] = size_bytes
    stream = workload.stream(dataset.sizes)
    read_bytes, peak = 0, 0
    for number, sample in enumerate(stream.samples(dataset.tap, 0, Part(index=0, count=1))):
        read_bytes += len(sample)
        if number % 64 == 0:
            peak = max(peak, psutil.Process().memory_info().rss - before)
    assert read_bytes == 2048 * 128 * 1024
    assert peak < 100 * 1024**2
    dataset.recorder.close()


@pytest.mark.parametrize("decode", ["0", "1ms"])
def test_decoding_is_recorded_sample_by_sample(decode: str, tmp_path: Path) -> None:
    """Also after a journey to another process."""
    dataset = local_shards(tmp_path, decode=decode)
    stream = pickle.loads(pickle.dumps(dataset.stream))  # noqa: S301 - made in the line itself
    tap = tap_store(dataset.store, dataset.recorder)
    assert list(map(bytes, stream.samples(tap, 0, Part(index=0, count=1)))) == dataset.samples()
    decoded = [size for kind, _, size, _ in dataset.operations() if kind == Kind.DECODE]
    assert decoded == ([] if decode == "0" else [1000] * 66)


@pytest.mark.parametrize(("given", "hinted"), [({}, True), ({"readahead": "normal"}, False)])
def test_the_kernel_is_told_once_for_each_shard_unless_it_is_not_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], hinted: bool
) -> None:
    """The hint comes from the workload, and the samples are the same with and without it."""
    dataset, told = local_shards(tmp_path, **given), list[int]()
    monkeypatch.setattr(os, "posix_fadvise", lambda *hint: told.append(hint[-1]))
    found = list(map(bytes, dataset.stream.samples(dataset.tap, 0, Part(index=0, count=1))))
    assert found == dataset.samples()
    opened = [kind for kind, *_ in dataset.operations()].count(Kind.OPEN)
    assert told == [os.POSIX_FADV_SEQUENTIAL] * (opened if hinted else 0)


def test_discovery_lists_the_shards_that_are_there(tmp_path: Path) -> None:
    """One listing; other files and missing shards are seen."""
    dataset = local_shards(tmp_path)
    dataset.store.write("notes.txt", b"no shard")
    assert dataset.workload.discover(dataset.store, dataset.tap) == 33
    dataset.store.unlink(dataset.layout.path(1))
    assert dataset.workload.discover(dataset.store, dataset.tap) == 22
    assert [kind for kind, *_ in dataset.operations()] == [Kind.LIST, Kind.LIST]


@pytest.mark.parametrize(
    "values",
    [{"format": "zip"}, {"shards": 0}, {"shards": -1}, {"samples_per_shard": 0}, {"sample_size": "0"},
     {"sample_size": "9999TiB"}, {"columns": 0}, {"project": 0}, {"row_group": 0}, {"read_size": 0},
     {"read_size": "2GiB"}, {"shuffle_buffer": -1}, {"decode": "-1s"}, {"compress_ratio": 0.1}, {"shard": 3}],
)  # fmt: skip
def test_parameters_that_make_no_sense_are_refused(values: dict[str, object]) -> None:
    """Unknown formats, nothing to read, absurd sizes, unknown keys."""
    with pytest.raises(ValidationError):
        STREAMING_SHARDS.Params.model_validate(values)
