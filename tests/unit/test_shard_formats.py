"""Shard formats: others can read what is written, what is read is what was written, and damage costs what it must."""

from __future__ import annotations

import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import google_crc32c
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ioprof.workloads.shards.tfrecord import length_crc, masked

from ioprof.clock import now_ns
from ioprof.dataset.content import PIECE_BYTES
from ioprof.plugins import find_workload
from ioprof.trace.kinds import Kind
from ioprof.trace.raw import raw_operations, raw_processes
from tests.shard_dataset import FORMATS, SEED, SMALL, ShardDataset, local_shards

VARYING = ("tar", "tfrecord")
"""Formats that hold samples of different sizes."""


def by_others(name: str, content: bytes, record_bytes: int = 1000) -> list[bytes]:
    """Return a shard's samples as code that is not ours reads them."""
    if name == "tar":
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            files = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}  # type: ignore[union-attr]
        keys = sorted({file.partition(".")[0] for file in files})
        assert all(0 <= int(files[f"{key}.cls"]) < 1000 for key in keys)
        return [files[f"{key}.bin"] for key in keys]
    if name == "parquet":
        return [b"".join(row.values()) for row in pq.read_table(io.BytesIO(content)).to_pylist()]
    if name == "arrow":
        return [row["sample"] for row in pa.ipc.open_file(io.BytesIO(content)).read_all().to_pylist()]
    if name == "raw":
        return [content[at : at + record_bytes] for at in range(0, len(content), record_bytes)]
    found = []
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        found.append(content[12 : 12 + length])
        content = content[16 + length :]
    return found


@pytest.mark.parametrize("name", FORMATS)
def test_others_read_what_is_written_and_we_read_the_same(name: str, tmp_path: Path) -> None:
    """By tarfile, pyarrow and a loop of five lines; in the order of the shards."""
    dataset = local_shards(tmp_path, format=name)
    expected = [sample for shard in range(3) for sample in by_others(name, bytes(dataset.content(shard)))]
    assert len(set(expected)) == 33
    assert dataset.samples() == expected
    assert dataset.errors() == []


@pytest.mark.parametrize("name", VARYING)
def test_samples_may_differ_in_size(name: str, tmp_path: Path) -> None:
    """Those that need many reads and those that need a part of one."""
    dataset = local_shards(tmp_path, format=name, sample_size="uniform:1B-20KB")
    expected = [sample for shard in range(3) for sample in by_others(name, bytes(dataset.content(shard)))]
    assert list(map(len, expected)) == [int(n) for s in range(3) for n in dataset.layout.format.shape.sizes_of(s)]
    assert dataset.samples() == expected


@pytest.mark.parametrize("name", sorted(set(FORMATS) - set(VARYING)))
def test_formats_of_one_size_say_so(name: str) -> None:
    """In one line that says what to use."""
    workload = find_workload("streaming-shards")
    with pytest.raises(Exception, match=f"format {name}.*--sample-size.*--format tar"):
        workload(workload.Params.model_validate({"format": name, "sample_size": "lognormal:4KiB"}), SEED)


@settings(max_examples=30)
@given(
    name=st.sampled_from(FORMATS), samples=st.integers(1, 40), size=st.integers(3, 5000), group=st.integers(1, 50),
    columns=st.integers(1, 3), shard=st.integers(0, 2),
)  # fmt: skip
def test_pieces_are_as_long_as_the_size_says(
    name: str, samples: int, size: int, group: int, columns: int, shard: int
) -> None:
    """Sizes are known before a byte is made; the whole content is the pieces, joined."""
    workload = find_workload("streaming-shards")
    values = {"samples_per_shard": samples, "sample_size": f"{size}B", "row_group": group, "columns": columns}
    layout = workload(workload.Params.model_validate({**SMALL, **values, "format": name}), SEED).layout()
    size_bytes = int(layout.sizes(shard, shard + 1)[0])
    joined = b"".join(map(bytes, layout.pieces(shard, size_bytes)))
    assert len(joined) == size_bytes
    assert joined == layout.render(shard, size_bytes)
    assert len(by_others(name, joined, size)) == samples


@pytest.mark.parametrize("name", FORMATS)
def test_large_shards_are_made_in_small_pieces(name: str) -> None:
    """128 MiB are never held: no piece is larger than a mebibyte or a record batch."""
    workload = find_workload("streaming-shards")
    values = {"format": name, "samples_per_shard": 128, "sample_size": "1MiB", "row_group": 2}
    layout = workload(workload.Params.model_validate(values), SEED).layout()
    assert max(map(len, layout.pieces(0, int(layout.sizes(0, 1)[0])))) <= 2 * PIECE_BYTES
    assert len(pickle.dumps(layout)) < 1000


@pytest.mark.parametrize(
    ("name", "changed"),
    [("tar", {}), ("tfrecord", {}), ("raw", {}), ("arrow", {"row_group": 5}), ("parquet", {"row_group": 5}),
     ("parquet", {"columns": 2})],
)  # fmt: skip
def test_an_identity_tells_what_decides_bytes(name: str, changed: dict[str, object], tmp_path: Path) -> None:
    """Another format, size, number or structure is another dataset; how it is read is not part of it."""
    workload = find_workload("streaming-shards")

    def identity(**values: object) -> dict[str, object]:
        params = workload.Params.model_validate({**SMALL, "format": name, **values})
        return dict(workload(params, SEED).layout().identity())

    same = [identity(read_size="1MiB", shuffle_buffer=9, shuffle_shards=True, check_crc=False), identity(decode="1ms")]
    assert same == [identity(), identity()]
    others = [{"samples_per_shard": 12}, {"shards": 4}, {"sample_size": "1001B"}, {"compress_ratio": 2.0}]
    for other in [*others, *([changed] if changed else [])]:
        assert identity(**other) != identity()


def test_a_projection_reads_some_columns_and_not_the_others(tmp_path: Path) -> None:
    """The bytes of the first two of three columns, and little besides."""
    whole = local_shards(tmp_path, format="parquet", sample_size="30000B")
    (tmp_path / "part").mkdir()
    part = local_shards(tmp_path / "part", format="parquet", sample_size="30000B", project=2)
    assert part.samples() == [sample[:20_000] for sample in whole.samples()]
    assert part.tap.tapped_bytes < 0.8 * whole.tap.tapped_bytes


@pytest.mark.parametrize("name", FORMATS)
def test_every_read_is_traced_and_no_larger_than_asked_for(name: str, tmp_path: Path) -> None:
    """Also those that pyarrow makes: one open and one close per shard, every sample's bytes read."""
    dataset = local_shards(tmp_path, format=name)
    dataset.samples()
    operations = dataset.operations()
    assert (
        [kind for kind, *_ in operations].count(Kind.OPEN) == [kind for kind, *_ in operations].count(Kind.CLOSE) == 3
    )
    reads = [size_bytes for kind, _, size_bytes, _ in operations if kind == Kind.READ]
    assert max(reads) == 4096
    assert sum(reads) == dataset.tap.tapped_bytes >= 33 * 1000


def _cut(content: bytearray) -> bytearray:
    return content[: len(content) // 2]


def _nothing(content: bytearray) -> bytearray:
    return bytearray()


@pytest.mark.parametrize("damage", [_cut, _nothing])
@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_shard_is_a_short_read_and_the_others_are_read(
    name: str, damage: Callable[[bytearray], bytearray], tmp_path: Path
) -> None:
    """What it lacks is lost and counted; formats that are read from the start give what came before."""
    dataset = local_shards(tmp_path, format=name)
    good = dataset.samples()
    dataset.change(1, damage(dataset.content(1)))
    failed_before = dataset.tap.failed_samples
    found = dataset.samples()
    assert failed_before == 0
    assert (found[: len(found) - 11], found[-11:]) == (good[: len(found) - 11], good[-11:])
    assert dataset.tap.failed_samples == 33 - len(found)
    assert dataset.errors() == [("read", 1, "short-read")]
    if damage is _cut and name not in ("parquet", "arrow"):
        assert len(found) >= 26, "five samples stand in the first half"


@pytest.mark.parametrize("name", FORMATS)
def test_a_missing_shard_is_an_error_of_open(name: str, tmp_path: Path) -> None:
    """All of its samples are lost, none of the others'."""
    dataset = local_shards(tmp_path, format=name)
    dataset.store.unlink(dataset.layout.path(0))
    assert len(dataset.samples()) == 22
    assert (dataset.tap.failed_samples, dataset.errors()) == (11, [("open", 0, "ENOENT")])


@pytest.mark.parametrize("name", ["tar", "parquet", "arrow", "tfrecord"])
def test_a_shard_of_something_else_is_a_bad_format(name: str, tmp_path: Path) -> None:
    """As long as it should be, but noise: one error, all its samples lost."""
    dataset = local_shards(tmp_path, format=name)
    dataset.change(2, b"\x7fnoise" * 10_000)
    assert len(dataset.samples()) == 22
    ((kind, shard, error),) = dataset.errors()
    assert (kind, shard) == ("decode", 2)
    assert error in ("bad-format", "bad-checksum")
    assert dataset.tap.failed_samples == 11


def test_a_record_that_does_not_match_its_checksum_is_left_out(tmp_path: Path) -> None:
    """It alone; without checking it is delivered as it is."""
    for number, check in enumerate((True, False)):
        (tmp_path / str(number)).mkdir()
        dataset = local_shards(tmp_path / str(number), format="tfrecord", check_crc=check)
        content = dataset.content(0)
        content[12 + 1016 * 3 + 500] ^= 1
        dataset.change(0, content)
        assert len(dataset.samples()) == (32 if check else 33)
        assert dataset.errors() == ([("decode", 0, "bad-checksum")] if check else [])
        assert dataset.tap.failed_samples == int(check)


def test_a_length_that_does_not_match_its_checksum_ends_the_shard(tmp_path: Path) -> None:
    """Nothing says where the next record begins."""
    dataset = local_shards(tmp_path, format="tfrecord")
    content = dataset.content(0)
    content[1016 * 4] ^= 1
    dataset.change(0, content)
    assert len(dataset.samples()) == 4 + 22
    assert (dataset.errors(), dataset.tap.failed_samples) == ([("decode", 0, "bad-checksum")], 7)


def test_checksums_are_those_of_tensorflow() -> None:
    """The polynomial's check value, and the same rotated right by 15 bits with the constant added, worked by hand."""
    assert google_crc32c.value(b"123456789") == 0xE3069283
    assert masked(0xE3069283) == 0x2507C60D + 0xA282EAD8 == 0xC78AB0E5
    assert length_crc(5) == masked(google_crc32c.value(b"\5" + bytes(7)))


def test_a_table_without_the_column_is_told_from_one_that_is_damaged(tmp_path: Path) -> None:
    """By the name of the error; its samples are lost."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"c0": [b"x"] * 11, "other": [b"y"] * 11}), sink)
    dataset = _resized(local_shards(tmp_path, format="parquet"), 0, sink.getvalue())
    assert len(dataset.samples()) == 22
    assert (dataset.errors(), dataset.tap.failed_samples) == ([("decode", 0, "missing-column")], 11)


def _resized(dataset: ShardDataset, shard: int, content: bytes) -> ShardDataset:
    """Put a shard of another length in place, and let the manifest know."""
    dataset.change(shard, content)
    dataset.sizes.sizes_bytes[shard] = len(content)
    return dataset


def archive_of(members: list[tuple[str, bytes]], **options: object) -> bytes:
    """Return an archive as Python's tarfile writes it."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", **options) as archive:  # type: ignore[call-overload]
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return sink.getvalue()


@pytest.mark.parametrize("style", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_archives_that_others_wrote_are_read(style: int, tmp_path: Path) -> None:
    """Long names of every kind; labels first; further members of a sample; the sample is its first member."""
    folder = "d" * 60 + "/" + "e" * 60 if style == tarfile.USTAR_FORMAT else "d" * 200
    members = []
    for number in range(11):
        members += [(f"{folder}/s{number}.cls", b"3"), (f"{folder}/s{number}.jpg", b"%d" % number * 700)]
        members += [(f"{folder}/s{number}.json", b"{}")]
    dataset = _resized(local_shards(tmp_path, format="tar"), 0, archive_of(members, format=style))
    assert dataset.samples()[:11] == [b"%d" % number * 700 for number in range(11)]
    assert dataset.errors() == []


@pytest.mark.parametrize("name", ["../s3.bin", "/etc/s3.bin", "a/../../s3.bin"])
def test_a_member_that_leads_out_of_the_archive_is_refused(name: str, tmp_path: Path) -> None:
    """Counted under its own name, and its sample alone is lost."""
    members = [(f"s{number}.bin" if number != 3 else name, b"x%d" % number) for number in range(11)]
    dataset = _resized(local_shards(tmp_path, format="tar"), 0, archive_of(members))
    assert dataset.samples()[:10] == [b"x%d" % number for number in range(11) if number != 3]
    assert (dataset.errors(), dataset.tap.failed_samples) == ([("decode", 0, "unsafe-path")], 1)


def test_a_name_that_only_looks_like_climbing_is_fine(tmp_path: Path) -> None:
    """Two dots inside a name are no parent directory."""
    members = [(f"s..{number}/x.bin", b"x") for number in range(11)]
    dataset = _resized(local_shards(tmp_path, format="tar"), 0, archive_of(members))
    assert (len(dataset.samples()), dataset.errors()) == (33, [])


def test_samples_without_bytes_are_errors(tmp_path: Path) -> None:
    """In archives and in TFRecords."""
    members = [(f"s{number}.bin", b"x" * (number != 2)) for number in range(11)]
    dataset = _resized(local_shards(tmp_path, format="tar"), 0, archive_of(members))
    assert (len(dataset.samples()), dataset.errors()) == (32, [("decode", 0, "empty-sample")])
    (tmp_path / "tfrecord").mkdir()
    records = local_shards(tmp_path / "tfrecord", format="tfrecord")
    empty = records.content(0)[:0]
    empty += struct.pack("<QI", 0, length_crc(0)) + struct.pack("<I", masked(0)) + records.content(0)[1016:]
    _resized(records, 0, bytes(empty))
    assert (len(records.samples()), records.errors()) == (32, [("decode", 0, "empty-sample")])
    assert records.tap.failed_samples == 1


def test_an_archive_that_ends_early_is_a_bad_format(tmp_path: Path) -> None:
    """Properly closed, but with fewer samples than it should have: the others are lost."""
    dataset = _resized(local_shards(tmp_path, format="tar"), 0, archive_of([("s1.bin", b"x"), ("s2.bin", b"y")]))
    assert dataset.samples()[:2] == [b"x", b"y"]
    assert (dataset.errors(), dataset.tap.failed_samples) == ([("decode", 0, "bad-format")], 9)


@pytest.mark.parametrize("name", FORMATS)
def test_cpu_work_of_the_format_itself_is_decoding(name: str, tmp_path: Path) -> None:
    """Checksums of TFRecord and pyarrow's own work; it overlaps no read, so both fit into the time there was."""
    dataset = local_shards(tmp_path, format=name, sample_size="200000B", read_size="1MiB")
    start_ns = now_ns()
    dataset.samples()
    took_ns = now_ns() - start_ns
    dataset.recorder.close()
    totals = {Kind(row["kind"]): row for row in raw_operations(raw_processes(tmp_path / "trace")[0]).to_pylist()}
    assert (Kind.DECODE in totals) == (name in ("tfrecord", "parquet", "arrow"))
    if Kind.DECODE in totals:
        assert totals[Kind.DECODE]["bytes"] > 0.8 * totals[Kind.READ]["bytes"]
        assert sum(row["total_ns"] for row in totals.values()) < took_ns
