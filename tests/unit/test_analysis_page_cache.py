"""Two witnesses of the page cache: which one is believed, when they contradict each other, and what comes first."""

from __future__ import annotations

import pytest

from ioprof.analysis.page_cache import client_hits, witnesses_differ
from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import CacheEvidence
from ioprof.report.terminal import render
from ioprof.trace.run_record import CacheCounts, CacheRecord, RunRecord
from ioprof.trace.trace import Trace
from tests.unit.trace_builder import kernel_io, make_trace, run_record, step_row

PAGES = 1000
TAPPED = 4096 * PAGES


def asked(hits: int, **changes: object) -> CacheCounts:
    """Return the counts of a worker that was asked about all of its thousand one-page objects."""
    zero = dict.fromkeys(CacheCounts.model_fields, 0)
    found = CacheCounts.model_validate(
        zero
        | {"phase": "steady", "method": "cachestat", "batches": 10, "asked_batches": 10, "objects": PAGES}
        | {"object_pages": PAGES, "object_hits": hits, "all_object_pages": PAGES, "all_object_hits": hits}
    )
    return found.model_copy(update=changes)


def ranges(hits: int) -> CacheCounts:
    """Return the counts of a worker that read parts of files."""
    objects = {"objects": 0, "all_object_pages": 0, "all_object_hits": 0}
    return asked(0, **objects, ranges=PAGES, all_range_pages=PAGES, all_range_hits=hits)


def run(*counts: CacheCounts, fetched: int | None, **changes: object) -> RunRecord:
    """Return a cold run; ``fetched`` pages by the kernel's counters, None where these are hidden."""
    io = None if fetched is None else kernel_io(tapped=TAPPED, pages=TAPPED, read=4096 * fetched)
    cold = CacheRecord(requested="cold", evictions=1, checked_pages=PAGES, resident_pages=0)
    record = run_record(kernel_io=io, cache_counts=list(counts), cache=cold)
    return record.model_copy(update=changes)


def trace_of(record: RunRecord) -> Trace:
    """Return the record with one measured step."""
    return make_trace(record, steps=[step_row(0, 0, 5, 10)])


def hits_of(record: RunRecord) -> tuple[CacheEvidence, str | None]:
    """Return the evidence of a run without batches."""
    return client_hits(record, make_trace(record).batches, "steady")


def test_of_whole_objects_what_was_asked_before_each_read_is_believed() -> None:
    """The kernel fetched no more than half, because readahead of others did; the pages were there or were not."""
    evidence, reason = hits_of(run(asked(100), fetched=890))
    assert (evidence.client_hit_ratio, evidence.asked_hit_ratio, reason) == (0.1, 0.1, None)
    assert evidence.kernel_hit_ratio == pytest.approx(0.11)
    assert (evidence.method, evidence.exact, evidence.cold_achieved) == ("cachestat", True, False)
    assert "cachestat(2) before 1,000 reads of all 10 batches: 10.0 % of their pages" in evidence.evidence
    assert "/proc/PID/io" in evidence.evidence


def test_of_parts_of_files_the_counters_are_believed() -> None:
    """Nine pages in ten were there when asked for, and had come from the device a moment ago."""
    evidence, _ = hits_of(run(ranges(900), fetched=PAGES))
    assert (evidence.client_hit_ratio, evidence.asked_hit_ratio, evidence.cold_achieved) == (0.0, 0.9, True)
    assert "what earlier reads made it read ahead included" in evidence.evidence


def test_counters_that_miss_what_was_fetched_make_the_ratio_of_ranges_unknown() -> None:
    """Nothing was there before the reads, yet nothing is said to have been fetched: not a hit ratio of 1."""
    evidence, reason = hits_of(run(ranges(0), fetched=0))
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (None, True)
    assert reason is not None
    assert "not all that is fetched is counted" in reason


def test_without_the_counters_asking_is_enough_for_whole_objects_only() -> None:
    """No /proc/PID/io: exact for objects; for ranges unknown, unless hardly a page was there."""
    assert hits_of(run(asked(500), fetched=None))[0].client_hit_ratio == 0.5
    evidence, reason = hits_of(run(ranges(500), fetched=None))
    assert (evidence.client_hit_ratio, reason) == (None, "/proc/PID/io of the workers was not readable")
    evidence, _ = hits_of(run(ranges(5), fetched=None))
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (0.005, True)


def test_without_any_way_to_ask_the_counters_are_left_and_it_is_said() -> None:
    """An old kernel in a strict container: named, and no zero."""
    none = asked(0, method=None, objects=0, all_object_pages=0, unanswered=64, asked_batches=1)
    evidence, _ = hits_of(run(none, fetched=250))
    assert (evidence.client_hit_ratio, evidence.asked_hit_ratio, evidence.method) == (0.75, None, None)
    assert "Not asked before the reads: neither cachestat(2), mincore(2) nor preadv2(RWF_NOWAIT)" in evidence.evidence
    summary = summarise(trace_of(run(none, fetched=250)))
    assert summary.reasons["cache.asked_hit_ratio"]
    evidence, reason = hits_of(run(none, fetched=None))
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (None, None)
    assert reason == "/proc/PID/io of the workers was not readable"


def test_too_many_reads_without_an_answer_are_no_evidence() -> None:
    """Files of another user, of which a newer kernel tells nothing."""
    evidence, _ = hits_of(run(asked(0, unanswered=PAGES), fetched=250))
    assert (evidence.client_hit_ratio, evidence.asked_hit_ratio) == (0.75, None)
    assert "no answer about 1,000 of 2,000 reads" in evidence.evidence


def test_a_rough_way_to_ask_does_not_overrule_the_counters() -> None:
    """RWF_NOWAIT may find what it made the kernel read itself."""
    evidence, _ = hits_of(run(asked(30, method="rwf_nowait"), fetched=PAGES))
    assert (evidence.client_hit_ratio, evidence.exact) == (0.0, False)
    assert "about 3.0 %" in evidence.evidence


def test_some_batches_stand_for_all_and_the_spread_is_told() -> None:
    """Asked about one in two, half of which were cached: an estimate, weighted and with its interval."""
    record = run(asked(250, asked_batches=5, all_object_hits=500), fetched=500)
    rows = [{"batch": k, "bytes": 400, "client_hit_bytes": 400 * (k % 2) if k < 6 else None} for k in range(10)]
    trace = make_trace(record, steps=[step_row(0, 0, 5, 10)], batches=rows)
    evidence, _ = client_hits(record, trace.batches, "steady")
    assert (evidence.client_hit_ratio, evidence.exact) == (0.5, False)
    assert "reads of 5 of 10 batches: 50.0 % (± 50.0 %)" in evidence.evidence


def test_no_hit_among_those_drawn_is_not_certainty() -> None:
    """None in five batches, however many reads: up to three in five may have had some all the same."""
    record = run(asked(0, asked_batches=5), fetched=PAGES)
    rows = [{"batch": k, "bytes": 400, "client_hit_bytes": 0 if k < 5 else None} for k in range(10)]
    evidence, _ = client_hits(record, make_trace(record, batches=rows).batches, "steady")
    assert "0.0 % (± 60.0 %)" in evidence.evidence


def drawn(weights: list[int], hits: list[int], fetched: int | None = None) -> CacheEvidence:
    """Return the evidence of one worker that asked about the last of so many batches each, a hundred bytes all."""
    told = list(zip(weights, hits, strict=True))
    rows: list[dict[str, object]] = []
    for weight, hit_bytes in told:
        rows += [{"bytes": 100, "client_hit_bytes": None}] * (weight - 1)
        rows.append({"bytes": 100, "client_hit_bytes": hit_bytes})
    numbered = [row | {"batch": number} for number, row in enumerate(rows)]
    counts = asked(
        sum(hits),
        batches=len(rows),
        asked_batches=len(told),
        all_object_pages=100 * len(rows),
        all_object_hits=sum(weight * hit_bytes for weight, hit_bytes in told),
    )
    found = run(counts, fetched=fetched)
    return client_hits(found, make_trace(found, batches=numbered).batches, "steady")[0]


def test_batches_that_stand_for_many_widen_the_interval() -> None:
    """Fifty asked about one by one, then eight for a hundred each, half of them cached: eight decide, not 58."""
    evidence = drawn([1] * 50 + [100] * 8, [0] * 50 + [0, 100] * 4)
    assert evidence.client_hit_ratio == pytest.approx(400 / 850)
    half = float(evidence.evidence.partition("± ")[2].partition(" %")[0])
    assert 30 < half < 45  # eight tosses of a coin: 1.96 * 0.5 / sqrt(8) = 35 %; 58 of them would make 9 %


@pytest.mark.parametrize(
    ("asked_batches", "fetched", "cold"),
    [(1, None, None), (3, None, None), (299, None, None), (301, None, True), (3, PAGES, True), (3, 950, False)],
)
def test_cold_is_claimed_only_as_far_as_it_was_asked(
    asked_batches: int, fetched: int | None, cold: bool | None
) -> None:
    """No hit in so few batches excludes little: cold by the kernel's counters then, or not known."""
    evidence = drawn([3] * asked_batches, [0] * asked_batches, fetched=fetched)
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (0.0, cold)


def test_a_cold_that_too_few_batches_show_says_how_to_know() -> None:
    """The header does not say cold, and the caveat names the flag."""
    record = run(asked(0, batches=1000, asked_batches=1), fetched=None)
    summary = summarise(trace_of(record))
    assert any("not known: too few batches were asked about" in caveat for caveat in summary.caveats)
    assert "--cache-evidence every" in summary.reasons["cache.cold_achieved"]
    assert "cold asked (whether it was is not known)" in render(summary, record, 200)[0].plain


def test_counters_are_held_against_what_was_asked_in_the_same_window() -> None:
    """Ranges, all cached in a long warm-up, none after it: no contradiction, and the window is named."""
    warmup = ranges(PAGES).model_copy(update={"phase": "warmup"})
    record = run(warmup, ranges(0), fetched=PAGES // 2, warmup_steps=10)
    evidence, reason = hits_of(record)
    assert (evidence.client_hit_ratio, evidence.asked_hit_ratio, reason) == (0.5, 0.5, None)
    assert "of all 20 batches (warm-up included)" in evidence.evidence
    assert "processes, warm-up included:" in evidence.evidence
    whole, _ = hits_of(run(asked(PAGES, phase="warmup"), asked(0), fetched=PAGES // 2, warmup_steps=10))
    assert whole.client_hit_ratio == 0.0


@pytest.mark.parametrize("facts", [{"is_memory": True}, {"filesystem": "zfs"}, {"url": "s3://bucket"}])
def test_where_the_page_cache_plays_no_part_its_answers_are_not_believed(facts: dict[str, object]) -> None:
    """Memory, a file system with a cache of its own, an object store: unknown, with the reason."""
    evidence, reason = hits_of(run(asked(PAGES), fetched=0, store={"url": "./data"} | facts))
    assert (evidence.client_hit_ratio, evidence.cold_achieved) == (None, None)
    assert reason


@pytest.mark.parametrize(("hits", "fetched", "differ"), [(0, 1000, False), (0, 500, True), (900, 1000, True)])
def test_witnesses_that_contradict_each_other_are_a_caveat(hits: int, fetched: int, differ: bool) -> None:
    """Beyond what their different moments explain."""
    record = run(asked(hits), fetched=fetched)
    found = witnesses_differ(record, make_trace(record).batches)
    assert (found is not None) is differ
    assert found is None or found in summarise(trace_of(record)).caveats


def test_a_cold_run_that_was_not_cold_says_so_before_anything_else() -> None:
    """First among the caveats, and the report's first line; at most 1 % is cold."""
    record = run(asked(11), fetched=989)
    summary = summarise(trace_of(record))
    assert summary.caveats[0].startswith("A cold cache was asked for, but this host's page cache served 1.1 %")
    lines = [line.plain for line in render(summary, record)]
    assert lines[0].startswith("Not cold throughout. A cold cache was asked for")
    assert sum("A cold cache was asked for" in line for line in lines) == 1
    record = run(asked(10), fetched=990)
    assert render(summarise(trace_of(record)), record)[0].plain.startswith("small-files")


def test_a_cache_that_was_empty_at_first_is_not_said_to_have_been_full() -> None:
    """Cold when each epoch began, and how much was served since; not achieved where nobody looked."""
    record = run(asked(20), fetched=980)
    header = "\n".join(line.plain for line in render(summarise(trace_of(record)), record, 200)[:4])
    assert "cold when each epoch began (page cache served 2.0 % of the bytes since)" in header
    unseen = record.model_copy(update={"cache": CacheRecord(requested="cold", evictions=1)})
    header = "\n".join(line.plain for line in render(summarise(trace_of(unseen)), unseen, 200)[:4])
    assert "cold asked, not achieved (page cache served 2.0 %" in header


def test_a_warm_run_that_was_not_warm_says_so() -> None:
    """A dataset larger than memory: half of it came from the store."""
    record = run(asked(500), fetched=500, cache=CacheRecord(requested="warm"))
    (caveat,) = [one for one in summarise(trace_of(record)).caveats if "A warm cache was asked for, but" in one]
    assert caveat.endswith("50.0 % of the bytes: perhaps the dataset does not fit the memory that is free for it.")
    for memory_bytes, why in (
        (1 << 20, "it does not fit (the dataset has"),
        (1 << 30, "perhaps a control group's limit"),
    ):
        known = record.model_copy(update={"host": {"memory_available_bytes": memory_bytes}})
        assert any(why in one for one in summarise(trace_of(known)).caveats)


def test_what_was_made_cold_is_named() -> None:
    """Content alone, or names and inodes too."""
    assert hits_of(run(asked(0), fetched=PAGES))[0].cold_caches == ("content",)
    both = CacheRecord(requested="cold", evictions=2, drops=2)
    record = run(asked(0), fetched=PAGES, cache=both)
    assert hits_of(record)[0].cold_caches == ("content", "names and inodes")
    listed = record.model_copy(update={"workload": record.workload.model_copy(update={"discovered": 1000})})
    assert hits_of(listed)[0].cold_caches == ("content",)


def test_reads_around_the_page_cache_need_no_witness() -> None:
    """O_DIRECT: none of it is served from there, and nobody was asked."""
    evidence, _ = hits_of(run(asked(0, method=None), fetched=PAGES))
    assert (evidence.client_hit_ratio, evidence.method, evidence.exact) == (0.0, "direct", True)
    assert evidence.evidence.startswith("O_DIRECT: 1,000 reads of all 10 batches went around the page cache.")


@pytest.mark.parametrize(
    ("fetched", "facts"),
    [(PAGES // 2, {}), (PAGES // 30, {"filesystem": "btrfs", "mount_options": "compress=zstd"}), (None, {})],
)
def test_direct_reads_that_the_kernel_did_not_fetch_are_unknown(fetched: int | None, facts: dict[str, object]) -> None:
    """File systems fall back to buffered reads: O_DIRECT is a wish until the counters show it."""
    record = run(asked(0, method=None), fetched=fetched, store={"url": "./data"} | facts)
    evidence, reason = hits_of(record)
    assert (evidence.client_hit_ratio, evidence.asked_hit_ratio, evidence.cold_achieved) == (None, None, None)
    assert reason is not None
    assert "O_DIRECT" in reason
    summary = summarise(trace_of(record))
    assert any("O_DIRECT" in caveat for caveat in summary.caveats)
    assert summary.reasons["cache.client_hit_ratio"] == reason


def test_a_store_in_memory_is_named_as_one() -> None:
    """Neither cold nor not cold: there is no storage behind it, in the header as in the caveats."""
    record = run(fetched=0, store={"url": "/dev/shm/x", "filesystem": "tmpfs", "is_memory": True})
    summary = summarise(trace_of(record))
    (told,) = [caveat for caveat in summary.caveats if "The store is this host's memory" in caveat]
    assert "nothing of it can be made cold" in told
    assert not any("A cold cache was asked for" in caveat for caveat in summary.caveats)
    assert "cold (the store is this host's memory)" in render(summary, record, 200)[0].plain


def test_a_file_system_on_a_ram_disk_can_be_made_cold() -> None:
    """It is memory as well, but the page cache before it can be evicted: that is not denied."""
    facts = {"url": "/mnt/x", "filesystem": "ext4", "disk": "ram0", "is_memory": True}
    told = [caveat for caveat in summarise(trace_of(run(fetched=0, store=facts))).caveats if "memory" in caveat]
    assert ["cold" in caveat for caveat in told] == [False]
