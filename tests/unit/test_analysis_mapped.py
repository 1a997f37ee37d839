"""Reads through mappings: what the kernel's counts can say of them, and what they cannot."""

from __future__ import annotations

import pytest

from ioprof.analysis.kernel import cache_evidence, coverage
from ioprof.analysis.mapped import NOT_MAPPED
from ioprof.analysis.summarise import summarise
from ioprof.report.terminal import render
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.run_record import CacheRecord, KernelIo, PageFaults, RunRecord
from tests.unit.trace_builder import make_trace, operation_row, run_record, step_row

PAGES_BYTES = 4096 * 1000


def _run(*, fetched: float, **cache: int) -> RunRecord:
    """Return a run that touched 4,096,000 bytes of mapped files and fetched so many times that."""
    io = KernelIo(
        worker=0,
        tapped_bytes=PAGES_BYTES,
        tapped_page_bytes=PAGES_BYTES,
        mapped_bytes=PAGES_BYTES,
        rchar_bytes=70_000,
        read_bytes=int(PAGES_BYTES * fetched),
    )
    evicted = CacheRecord(requested="cold", evictions=1, evicted_objects=1, **cache)
    faults = [
        PageFaults(worker=0, phase="warmup", major=99, minor=99, waiting_touches=99),
        PageFaults(worker=0, phase="steady", major=1500, minor=300, waiting_touches=450),
    ]
    return run_record(kernel_io=[io], cache=evicted, page_faults=faults)


@pytest.mark.parametrize(("fetched", "ratio"), [(1.0, 1.0), (0.995, 1.0), (1.04, 1 / 1.04)])
def test_cold_mapped_reads_are_held_against_what_was_fetched(fetched: float, ratio: float) -> None:
    """Where the page cache gave nothing and little was read ahead, both must agree."""
    seen, reason = coverage(_run(fetched=fetched))
    assert (seen.ratio, reason) == (pytest.approx(ratio, abs=1e-6), None)


@pytest.mark.parametrize(
    ("fetched", "told"),
    [(0.0, "the page cache served 100.0 % of the pages"), (3.4, "fetched 3.4 times the pages that were copied from")],
)
def test_warm_or_readahead_coverage_is_unknown_and_hides_no_latency(fetched: float, told: str) -> None:
    """The kernel's rchar says nothing of mapped files, so it is not held against them; latencies stay."""
    rows = [operation_row(Kind.TOUCH, [1000] * 500, size=8192)]
    summary = summarise(make_trace(_run(fetched=fetched), operations=rows))
    assert summary.coverage.ratio is None
    assert told in summary.reasons["coverage.ratio"]
    assert summary.operations["touch"].latency_ns is not None
    assert not any("The taps saw" in caveat for caveat in summary.caveats)


def test_page_faults_of_the_measured_phase_are_told() -> None:
    """Those of the warm-up are not; the report shows them for each copy."""
    rows = [
        operation_row(Kind.TOUCH, [1000] * 500, size=8192),
        operation_row(Kind.TOUCH, [1000] * 9, size=8192, phase=Phase.WARMUP),
    ]
    run = _run(fetched=1.5)
    summary = summarise(make_trace(run, steps=[step_row(0, 0, 5, 10)], operations=rows))
    mapped = summary.mapped
    assert mapped is not None
    assert (mapped.touches, mapped.bytes) == (500, 500 * 8192)
    assert (mapped.major_faults, mapped.minor_faults, mapped.waiting_touches) == (1500, 300, 450)
    assert mapped.fetched_ratio == 1.5
    shown = " ".join(" ".join(line.plain for line in render(summary, run)).split())
    assert "500 copies of 8 KiB out of mapped files; 90.0 % waited for the device" in shown
    assert "page faults each: 3.00 major, 0.60 minor; 1.50 bytes fetched for each byte copied" in shown


def test_a_run_without_mappings_says_so() -> None:
    """Null with its reason, and no line in the report."""
    run = run_record()
    summary = summarise(make_trace(run, steps=[step_row(0, 0, 5, 10)]))
    assert (summary.mapped, summary.reasons["mapped"]) == (None, NOT_MAPPED)
    assert not any("mapped" in line.plain for line in render(summary, run))


def test_pages_that_stayed_after_eviction_are_no_cold_cache() -> None:
    """However much was read ahead beside them: told in the evidence, the caveats and the headline."""
    run = _run(fetched=2.0, checked_pages=1000, resident_pages=310)
    evidence, _ = cache_evidence(run)
    assert evidence.cold_achieved is False
    assert "310 of 1,000 pages" in evidence.evidence
    summary = summarise(make_trace(run, steps=[step_row(0, 0, 5, 10)]))
    assert any("31.0 % of the dataset's pages stayed" in caveat for caveat in summary.caveats)
    assert "cold asked, not achieved (31.0 % of the pages stayed cached)" in " ".join(
        line.plain.strip() for line in render(summary, run)
    )


def test_an_eviction_that_was_looked_at_proves_cold_though_readahead_could_hide_hits() -> None:
    """With nothing left in the cache there is nothing to hide; unseen, it stays unknown for mapped files."""
    assert cache_evidence(_run(fetched=2.0, checked_pages=1000, resident_pages=0))[0].cold_achieved is True
    assert cache_evidence(_run(fetched=2.0))[0].cold_achieved is None


def test_bytes_read_twice_in_an_epoch_are_told_from_a_cache_that_was_not_empty() -> None:
    """Both are hits; only the one says that the eviction failed."""
    again = summarise(
        make_trace(_run(fetched=0.7, checked_pages=1000, resident_pages=0), steps=[step_row(0, 0, 5, 10)])
    )
    assert any("although it was empty when each epoch began" in caveat for caveat in again.caveats)
    unseen = summarise(make_trace(_run(fetched=0.7), steps=[step_row(0, 0, 5, 10)]))
    assert any(caveat.endswith("page cache served 30.0 % of the bytes.") for caveat in unseen.caveats)


@pytest.mark.parametrize(("waiting", "told"), [(3, True), (450, False)])
def test_readahead_that_spares_most_copies_the_device_is_a_caveat(waiting: int, told: bool) -> None:
    """The cache was cold and is filled ahead of the copies: their latencies are not the store's."""
    run = _run(fetched=3.0, checked_pages=1000, resident_pages=0)
    faults = [PageFaults(worker=0, phase="steady", major=waiting, minor=0, waiting_touches=waiting)]
    rows = [operation_row(Kind.TOUCH, [1000] * 500, size=8192)]
    trace = make_trace(run.model_copy(update={"page_faults": faults}), steps=[step_row(0, 0, 5, 10)], operations=rows)
    assert any(caveat.startswith("Readahead around page faults") for caveat in summarise(trace).caveats) is told
