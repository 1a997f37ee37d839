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
]
PLAIN = [
    {"filesystem": "btrfs", "mount_options": "rw,relatime,compress=no"},
    {"filesystem": "ext4", "mount_options": "rw,compress=zstd"},
    {"filesystem": "fuseblk"},
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
