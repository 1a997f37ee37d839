"""Whether runs may be compared: what makes a comparison say nothing of the stores, and what is only worth knowing."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ioprof.analysis.summary import Summary
from ioprof.analysis.wording import percent
from ioprof.trace.run_record import RunRecord

COLD_WITHIN = 0.01
"""Runs whose shares of page-cache hits differ by more were not in the same state."""
_OF_HOST = ("hostname", "cpu_model", "logical_cores", "affinity_cores", "cgroup_cpu_cores", "memory_bytes", "kernel")
_OF_VERSIONS = ("ioprof", "python", "torch")
_NOT_TOLD = {
    "run.results", "run.label", "run.duration", "run.steps", "run.epochs", "run.probe", "store.url", "run.warmup",
    "run.max_errors", "run.span_budget", "run.overhead_budget", "run.cache_evidence",
}  # fmt: skip
"""Keys of the spec that name a place, or how long was looked: a difference in them changes no rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing in which two runs are not alike."""

    what: str
    first: str
    second: str
    is_unfair: bool
    """It moves the result, and is not what a comparison of stores is about."""

    @property
    def told(self) -> str:
        """The difference in a few words."""
        return f"{self.what}: {self.first} against {self.second}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A run as it is held against another one."""

    run: RunRecord
    summary: Summary


def differences(first: Judged, second: Judged) -> list[Difference]:
    """Return in what two runs differ, what makes the comparison unfair first."""
    found = [one for rule in _RULES for one in rule(first, second)]
    return sorted(found, key=lambda one: not one.is_unfair)


def _dataset(first: Judged, second: Judged) -> list[Difference]:
    facts: list[tuple[str, Callable[[Judged], object]]] = [
        ("workload", lambda one: one.run.workload.name),
        ("objects", lambda one: one.run.workload.objects),
        ("bytes of the dataset", lambda one: one.run.workload.total_bytes),
        ("samples of an epoch", lambda one: one.run.workload.samples_per_epoch),
        ("seed", lambda one: one.run.seed),
    ]
    found = _of(facts, first, second, is_unfair=True)
    return found + _sections("workload", first, second, is_unfair=True)


def _cache(first: Judged, second: Judged) -> list[Difference]:
    found = _of([("page cache asked for", lambda one: one.run.cache.requested)], first, second, is_unfair=True)
    one, other = first.summary.cache.client_hit_ratio, second.summary.cache.client_hit_ratio
    if one is not None and other is not None and abs(one - other) > COLD_WITHIN:
        found.append(_difference("served by the page cache", percent(one), percent(other), is_unfair=True))
    return found


def _consumer(first: Judged, second: Judged) -> list[Difference]:
    facts: list[tuple[str, Callable[[Judged], object]]] = [
        ("accelerator", lambda one: one.run.accelerator.name),
        ("accelerators", lambda one: one.run.accelerator.count),
        ("busy time per batch, ns", _asked_busy_ns),
        ("batch size", lambda one: one.run.batch_size),
    ]
    return _of(facts, first, second, is_unfair=True)


def _asked_busy_ns(one: Judged) -> object:
    return "measured" if one.run.accelerator.is_measured else one.run.accelerator.busy_ns_per_batch


def _host(first: Judged, second: Judged) -> list[Difference]:
    return _pairs("host", first.run.host, second.run.host, _OF_HOST, is_unfair=True)


def _versions(first: Judged, second: Judged) -> list[Difference]:
    found = _pairs("version of", first.run.versions, second.run.versions, _OF_VERSIONS, is_unfair=True)
    rest = sorted((first.run.versions.keys() | second.run.versions.keys()) - set(_OF_VERSIONS))
    found += _pairs("version of", first.run.versions, second.run.versions, rest, is_unfair=False)
    return found + _of([("reads by", lambda one: one.run.reads)], first, second, is_unfair=True)


def _settings(first: Judged, second: Judged) -> list[Difference]:
    found = _of([("loader", lambda one: one.run.loader)], first, second, is_unfair=False)
    for section in ("loader", "accelerator", "checkpoint", "run"):
        found += _sections(section, first, second, is_unfair=False)
    unfair = {"batch size", "accelerator"}
    return [one for one in found if one.what not in unfair and one.what not in ("loader.batch_size", "loader.name")]


def _stores(first: Judged, second: Judged) -> list[Difference]:
    facts: list[tuple[str, Callable[[Judged], object]]] = [
        ("store", _place),
        ("file system", lambda one: one.run.store.get("filesystem")),
        ("throttle", lambda one: one.run.store.get("throttle")),
    ]
    return _of(facts, first, second, is_unfair=False)


def _place(one: Judged) -> str:
    """Return where the dataset's folder lies: its own name follows from the dataset."""
    return posixpath.dirname(str(one.run.store.get("url", "")))


def _ends(first: Judged, second: Judged) -> list[Difference]:
    return _of([("outcome", lambda one: one.run.outcome)], first, second, is_unfair=False)


_RULES = (_dataset, _cache, _consumer, _host, _versions, _settings, _stores, _ends)


def _of(
    facts: Sequence[tuple[str, Callable[[Judged], object]]], first: Judged, second: Judged, *, is_unfair: bool
) -> list[Difference]:
    return [
        _difference(what, get(first), get(second), is_unfair=is_unfair)
        for what, get in facts
        if get(first) != get(second)
    ]


def _sections(section: str, first: Judged, second: Judged, *, is_unfair: bool) -> list[Difference]:
    one, other = first.run.spec.get(section, {}), second.run.spec.get(section, {})
    keys = [key for key in sorted(one.keys() | other.keys()) if f"{section}.{key}" not in _NOT_TOLD and key != "name"]
    return _pairs(f"{section}.", one, other, keys, is_unfair=is_unfair)


def _pairs(
    prefix: str, one: Mapping[str, object], other: Mapping[str, object], keys: Sequence[str], *, is_unfair: bool
) -> list[Difference]:
    gap = "" if prefix.endswith(".") else " "
    return [
        _difference(f"{prefix}{gap}{key}", one.get(key), other.get(key), is_unfair=is_unfair)
        for key in keys
        if one.get(key) != other.get(key)
    ]


def _difference(what: str, first: object, second: object, *, is_unfair: bool) -> Difference:
    told = ["not set" if value is None else str(value) for value in (first, second)]
    return Difference(what=what, first=told[0], second=told[1], is_unfair=is_unfair)
