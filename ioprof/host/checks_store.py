"""Checks of the store and of the page cache in front of it."""

from __future__ import annotations

from ioprof.host.check import Check, note, ok, problem, warning
from ioprof.host.evidence import Evidence, shown_url
from ioprof.host.text import Scalar
from ioprof.store.throttled_url import PREFIX
from ioprof.units import format_bytes, format_count

_LOW_BYTES = 1 << 30
_LOW_INODES = 100_000
_LARGE_READ_AHEAD_KIB = 4096
_STANDS = "the dataset stands there already"


def place(evidence: Evidence) -> Check:
    """Can the store be reached and written?"""
    url, facts, plan = shown_url(evidence.context.store_url), evidence.store, evidence.context
    if evidence.store_refusal and facts is not None and plan.needed_bytes == 0:
        if plan.writes:
            finding = f"{evidence.store_refusal}; {_STANDS}, but this run writes there while it goes on"
            return problem("store", "store", finding, "name another place with --store, or change its permissions")
        return note("store", "store", f"{evidence.store_refusal}; {_STANDS}, and the run only reads it")
    if evidence.store_refusal and facts is not None and plan.standing:
        stand = "1 dataset stands" if plan.standing == 1 else f"{plan.standing} datasets stand"
        finding = f"{evidence.store_refusal}; {stand} there complete, and runs that only read them will work"
        return note("store", "store", finding, "name the workload too (ioprof doctor small-files) to judge its run")
    if evidence.store_refusal:
        mend = "change its permissions" if facts is not None else "see that it can be reached and written from here"
        return problem("store", "store", evidence.store_refusal, f"name another place with --store, or {mend}")
    if plan.dataset_refusal:
        return problem("store", "store", plan.dataset_refusal, "name another place with --store")
    if facts is None:
        finding = (
            f"{url} takes and gives objects; it is not a local path: space, file system and page cache are not this "
            "host's to check"
        )
        return note("store", "store", finding)
    mounted = f"{facts['filesystem']} on {facts['device']}, mounted at {facts['mount_point']}"
    return ok("store", "store", f"{facts['path']}: {mounted}")


def throttle(evidence: Evidence) -> Check:
    """Is the store made slower on purpose?"""
    url = evidence.context.store_url
    if not url.startswith(PREFIX):
        return ok("throttle", "throttle", "none: what is measured is the store itself")
    finding = f"{shown_url(url)} is made slower on purpose; what stands here is of the store below"
    return note("throttle", "throttle", finding, "name the store without throttle+ to measure the store itself")


def space(evidence: Evidence) -> Check | None:
    """Does the dataset fit?"""
    free, need = _fact(evidence, "free_bytes"), evidence.context.needed_bytes
    if free is None:
        return None
    if need == 0:
        return ok("space", "free space", f"{format_bytes(free)} free at the store; {_STANDS}")
    finding = f"{format_bytes(free)} free at the store" + (f"; {format_bytes(need)} needed" if need else "")
    advice = "free space, choose another --store, or use fewer or smaller files"
    if need is not None and free < need:
        return problem("space", "free space", finding, advice)
    low = max(_LOW_BYTES, need * 1.1 if need else 0)
    return warning("space", "free space", finding, advice) if free < low else ok("space", "free space", finding)


def inodes(evidence: Evidence) -> Check | None:
    """Can that many files be made?"""
    free, need = _fact(evidence, "free_inodes"), evidence.context.needed_inodes
    if evidence.store is None:
        return None
    if free is None:
        return ok("inodes", "free inodes", "the file system sets no number beforehand")
    if need == 0:
        return ok("inodes", "free inodes", f"{format_count(free)} free at the store; {_STANDS}")
    finding = f"{format_count(free)} free at the store" + (f"; {format_count(need)} needed" if need else "")
    advice = "use fewer files or shards, or another file system"
    if need is not None and free < need:
        return problem("inodes", "free inodes", finding, advice)
    if need is None and free < _LOW_INODES:
        return warning("inodes", "free inodes", finding, advice)
    return ok("inodes", "free inodes", finding)


def filesystem(evidence: Evidence) -> Check | None:
    """Is the store on something whose speed means anything?"""
    facts, title = evidence.store, "file system"
    if facts is None:
        return None
    kind = facts["filesystem"]
    if facts["is_memory"]:
        advice = "name a directory on the disk or server under test with --store"
        return warning("filesystem", title, f"{kind} lies in this host's memory: no storage is measured", advice)
    if facts["is_overlay"]:
        advice = "name a mounted volume with --store: lookups here go through layers, first writes copy files"
        return warning("filesystem", title, f"{kind}, a container's layers", advice)
    return _remoteness(facts, title)


def _remoteness(facts: dict[str, Scalar], title: str) -> Check:
    kind = facts["filesystem"]
    if facts["is_network"]:
        finding = f"{kind} over the network ({facts['device']})"
        advice = "the server has a cache of its own: a cold client does not mean that a disk was read"
        return note("filesystem", title, finding, advice)
    if kind is None:
        return note("filesystem", title, "the mount table does not show what holds the store")
    if facts["is_network"] is None:
        advice = "the process behind FUSE uses this host's CPU, and its cache is not visible"
        return note("filesystem", title, f"{kind}: what is behind it cannot be told", advice)
    return ok("filesystem", title, f"{kind} on a local device")


def device(evidence: Evidence) -> Check | None:
    """Does the device's set-up suit random reads?"""
    facts = evidence.store
    if facts is None or facts["disk"] is None:
        return None
    kind = {True: "rotational", False: "not rotational", None: "rotational or not is unknown"}[
        facts["rotational"] if isinstance(facts["rotational"], bool) else None
    ]
    model = f" ({facts['model']})" if facts["model"] else ""
    read_ahead = facts["read_ahead_kb"]
    ahead = f", read-ahead {format_bytes(read_ahead * 1024)}" if isinstance(read_ahead, int) else ""
    finding = f"{facts['disk']}{model}: {kind}{ahead}, scheduler {facts['scheduler'] or 'unknown'}"
    advice = _device_advice(facts)
    return note("device", "device", finding, advice) if advice else ok("device", "device", finding)


def _device_advice(facts: dict[str, Scalar]) -> str:
    read_ahead = facts["read_ahead_kb"]
    parts = []
    if facts["rotational"]:
        parts.append("a hard disk, or a virtual one that calls itself so: random reads may be slow")
    if isinstance(read_ahead, int) and read_ahead > _LARGE_READ_AHEAD_KIB:
        parts.append("long read-ahead: random reads inside large files may fetch far more than they use")
    return "; ".join(parts)


def eviction(evidence: Evidence) -> Check | None:
    """Can reads be made cold?"""
    tried, title = evidence.eviction, "cold reads"
    if tried is None:
        return None
    advice = "use --cache asis and say so, or run as root with --drop-caches"
    if isinstance(tried, str):
        return note("eviction", title, f"not tried: {tried}")
    counts = f"{tried.resident_after} of {tried.pages} pages stayed after posix_fadvise (by {tried.method})"
    if evidence.store is not None and evidence.store["is_memory"]:
        # One fault, one warning: the file system's own check has raised it.
        return note("eviction", title, f"impossible: the file system is the memory ({counts})")
    if tried.resident_before == 0:
        return note("eviction", title, f"written pages are not kept in the page cache here; {counts}")
    if tried.resident_after:
        return warning("eviction", title, f"files cannot be evicted here: {counts}", advice)
    return ok("eviction", title, f"eviction works: {counts}")


def cache_evidence(evidence: Evidence) -> Check:
    """Can the page cache be asked what it holds?"""
    if evidence.facilities.cachestat:
        return ok("cachestat", "cache evidence", "cachestat(2) is there")
    advice = "Linux 6.5 and later count cached pages without mapping files; mincore(2) is used instead"
    return note("cachestat", "cache evidence", "no cachestat(2)", advice)


def drop_caches(evidence: Evidence) -> Check:
    """May directory and inode caches be dropped too?"""
    if evidence.facilities.drop_caches:
        return ok("drop-caches", "drop_caches", "permitted: inodes and directories can be made cold too")
    finding = "not permitted: file contents can be made cold, inodes and directories stay cached"
    return note("drop-caches", "drop_caches", finding, "run as root with --drop-caches for cold metadata")


def _fact(evidence: Evidence, name: str) -> int | None:
    value = evidence.store[name] if evidence.store is not None else None
    return value if isinstance(value, int) else None
