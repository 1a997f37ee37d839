"""File systems on which the kernel's count of what it fetched says nothing of the page cache."""

from __future__ import annotations

import numpy as np
import pytest

from ioprof.analysis.kernel import coverage
from ioprof.analysis.mapped import mapped_reads
from ioprof.analysis.operations import KindTotals
from ioprof.analysis.page_cache import witnesses_differ
from ioprof.analysis.summarise import summarise
from ioprof.trace.kinds import Kind
from ioprof.trace.run_record import RunRecord
from tests.unit.test_analysis_page_cache import PAGES, asked, hits_of, ranges, run, trace_of
from tests.unit.trace_builder import kernel_io, make_trace

COMPRESSING = [
    {"filesystem": "btrfs", "mount_options": "rw,relatime,compress-force=zstd:3,space_cache=v2"},
    {"filesystem": "btrfs", "mount_options": "rw,compress=lzo"},
    {"filesystem": "f2fs", "mount_options": "rw,compress_algorithm=lz4,compress_log_size=2"},
    {"filesystem": "bcachefs", "mount_options": "rw"},
    {"filesystem": "squashfs", "mount_options": None},
    {"filesystem": "erofs"},
    {
        "filesystem": "overlay", "mount_options": "rw", "is_overlay": True,
        "below_filesystems": "btrfs", "below_mount_options": "rw,compress=zstd:1",
    },
]  # fmt: skip
PLAIN = [
    {"filesystem": "btrfs", "mount_options": "rw,relatime,compress=no"},
    {"filesystem": "ext4", "mount_options": "rw,compress=zstd"},
    {"filesystem": "fuseblk"},
    {"filesystem": "overlay", "is_overlay": True, "below_filesystems": "xfs ext4", "below_mount_options": "rw"},
    {},
]


def stored(record: RunRecord, facts: dict[str, object]) -> RunRecord:
    """Return the record of the same run on another file system."""
    return record.model_copy(update={"store": {"url": "./data", "is_memory": False} | facts})


@pytest.mark.parametrize("facts", COMPRESSING, ids=str)
def test_compressed_bytes_fetched_are_no_hits(facts: dict[str, object]) -> None:
    """A thirtieth was fetched because it is stored so: of ranges unknown with the reason, of objects as asked."""
    evidence, reason = hits_of(stored(run(ranges(900), fetched=PAGES // 30), facts))
    assert (evidence.client_hit_ratio, evidence.kernel_hit_ratio, evidence.cold_achieved) == (None, None, None)
    assert reason is not None
    assert "compressed bytes" in reason
    record = stored(run(asked(0), fetched=PAGES // 30), facts)
    evidence, _ = hits_of(record)
    assert (evidence.client_hit_ratio, evidence.kernel_hit_ratio, evidence.cold_achieved) == (0.0, None, True)
    assert witnesses_differ(record, make_trace(record).batches) is None


@pytest.mark.parametrize("facts", PLAIN, ids=str)
def test_elsewhere_the_counters_are_believed(facts: dict[str, object]) -> None:
    """Mounted without compression, or an option of that name on a file system that has none."""
    evidence, _ = hits_of(stored(run(ranges(900), fetched=PAGES // 2), facts))
    assert evidence.client_hit_ratio == 0.5


def test_nobody_fetches_for_the_reader_of_a_fuse_file_system() -> None:
    """Nothing counted is not all cached; and what the client program keeps of its own is said not to be known."""
    facts = {"filesystem": "fuse.juicefs"}
    record = stored(run(asked(0), fetched=0), facts)
    words = "fuse.juicefs: what was not in the page cache came from a client program"
    assert hits_of(record)[0].client_hit_ratio == 0.0
    assert hits_of(stored(run(fetched=0), facts))[0].client_hit_ratio is None
    assert any(caveat.startswith(words) for caveat in summarise(trace_of(record)).caveats)


def test_mapped_files_have_no_coverage_by_compressed_bytes() -> None:
    """Neither pages seen over bytes fetched, nor bytes fetched for each byte copied."""
    io = [one.model_copy(update={"mapped_bytes": one.tapped_bytes}) for one in kernel_io(pages=4_096_000)]
    touch = KindTotals(
        kind=Kind.TOUCH, count=1, bytes=1, errors=0, total_ns=1, min_ns=1, max_ns=1, buckets=np.ones(1, np.int64)
    )
    for facts, known in ((PLAIN[0], True), (COMPRESSING[0], False)):
        record = stored(run(fetched=None, kernel_io=io), facts)
        assert (coverage(record)[0].ratio is not None) is known
        mapped = mapped_reads(record, [touch], "steady")
        assert mapped is not None
        assert (mapped.fetched_ratio is not None) is known


def test_an_overlay_of_zfs_has_the_cache_of_zfs() -> None:
    """What its own memory served is in no page cache: nothing is known, whoever was asked."""
    facts = {"filesystem": "overlay", "is_overlay": True, "below_filesystems": "zfs", "below_mount_options": "rw"}
    evidence, reason = hits_of(stored(run(asked(0), fetched=0), facts))
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (None, None)
    assert reason == "zfs caches what it reads in memory of its own, not in the page cache"


@pytest.mark.parametrize(("fetched", "known"), [(PAGES, 0.0), (0, None)])
def test_an_overlay_whose_layers_cannot_be_seen_is_believed_while_both_witnesses_agree(
    fetched: int, known: float | None
) -> None:
    """Nothing was in the page cache and nothing was fetched: somebody below it keeps what it reads."""
    facts = {"filesystem": "overlay", "is_overlay": True, "below_filesystems": None}
    evidence, reason = hits_of(stored(run(asked(0), fetched=fetched), facts))
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (known, None if known is None else True)
    assert (reason is None) == (known is not None)
    assert reason is None or "what lies below it is not visible here" in reason
