"""What the page cache did, for people: in the header, as evidence, and first of all where cold was not cold."""

from __future__ import annotations

from rich.text import Text

from ioprof.analysis.caveats import not_cold
from ioprof.analysis.kernel import COLD_HIT_RATIO, cold_not_applied, left_after_eviction
from ioprof.analysis.summary import Summary
from ioprof.analysis.wording import percent
from ioprof.report.layout import fact, paragraph
from ioprof.trace.run_record import RunRecord
from ioprof.units import format_bytes


def not_cold_lines(summary: Summary, run: RunRecord, width: int) -> list[Text]:
    """Whoever asked for a cold store and got this host's memory must not read a figure before knowing it."""
    told = not_cold(run, summary.cache) if summary.steps else None
    return [] if told is None else paragraph(f"{_headline(run)} {told}", width, first="", style="bold red")


def _headline(run: RunRecord) -> str:
    left = left_after_eviction(run)
    return "Not cold." if left is None or left > COLD_HIT_RATIO else "Not cold throughout."


def cache_words(summary: Summary, run: RunRecord) -> str:
    """Return what was asked of the page cache and what came of it, for the report's header."""
    if not run.workload.reads_storage:
        return "no storage" if summary.checkpoints is None else "no data read"
    if (not_applied := cold_not_applied(run)) is not None:
        return f"cold asked, not applied ({not_applied})"
    asked, ratio = run.cache.requested, summary.cache.client_hit_ratio
    if run.store.get("is_memory"):
        return f"{asked} (the store is this host's memory)"
    if ratio is None:
        return _unknown_words(summary, run)
    return (
        _cold_words(summary, run, ratio)
        if asked == "cold"
        else f"{asked} (page cache served {percent(ratio)} of the bytes)"
    )


def _unknown_words(summary: Summary, run: RunRecord) -> str:
    asked = run.cache.requested
    if summary.coverage.tapped_bytes == 0 and not run.accelerator.is_measured:
        fetched = sum(one.read_bytes for one in run.kernel_io or [])
        told = f"page cache: not known; {format_bytes(fetched)} came from the device" if fetched else "nothing read"
        return f"{asked} ({told})"
    if asked == "cold" and summary.cache.cold_achieved is False:
        return "cold asked, not achieved (how much was cached is not known)"
    return f"{asked} (page cache: not known)"


def _cold_words(summary: Summary, run: RunRecord, ratio: float) -> str:
    if summary.cache.cold_achieved is None:
        return "cold asked (whether it was is not known)"
    left = left_after_eviction(run)
    if left is not None and left > COLD_HIT_RATIO:
        return f"cold asked, not achieved ({percent(left)} of the pages stayed cached)"
    if not summary.cache.cold_achieved:
        if left is not None:
            return f"cold when each epoch began (page cache served {percent(ratio)} of the bytes since)"
        return f"cold asked, not achieved (page cache served {percent(ratio)} of the bytes)"
    return f"cold ({percent(1 - ratio)} of the bytes missed the page cache)"


def page_cache_lines(summary: Summary, run: RunRecord, width: int) -> list[Text]:
    """Return what both witnesses say, and what was made cold."""
    cache = summary.cache
    if not run.workload.reads_storage or cache.asked_hit_ratio is None:
        return []
    warmup = ", warm-up included" if run.warmup_steps else ""
    told = [cache.evidence.partition(". ")[0]]
    if cache.kernel_hit_ratio is not None:
        told.append(f"{percent(cache.kernel_hit_ratio)} of the bytes by the kernel's count of what it fetched{warmup}")
    if cache.cold_caches:
        names = "" if len(cache.cold_caches) > 1 else " (not names and inodes)"
        if run.cache.drops and names:
            names = " (names and inodes before discovery, which read some again)"
        told.append(f"made cold: {', '.join(cache.cold_caches)}{names}")
    return fact("page cache", "; ".join(told), width)
