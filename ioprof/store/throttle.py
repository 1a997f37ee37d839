"""What a throttled store is made to look like: latency by kind of operation, bandwidth, operations per second.

Written as the parameters of a URL: ``latency=5ms&latency.open=1ms&jitter=lognormal:0.5&bandwidth=200MB/s&iops=2000``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from ioprof.errors import SpecError, nearest
from ioprof.store.throttle_presets import PRESETS
from ioprof.trace.kinds import READ_KINDS, STORAGE_KINDS, WRITE_KINDS, Kind
from ioprof.units import exact_duration, parse_bytes, parse_count, parse_duration_ns

if TYPE_CHECKING:
    import numpy as np

KINDS = {kind.label: kind for kind in STORAGE_KINDS if kind not in (Kind.MAP, Kind.TOUCH)}
"""Operations that can be given a latency of their own, by name."""
DATA_KINDS = frozenset({*READ_KINDS, *WRITE_KINDS}) - {Kind.TOUCH}
"""Operations that take their turn at the device, for its operations per second and its bandwidth."""
FREE_KINDS = frozenset({Kind.CLOSE})
"""Operations that ``latency`` alone leaves out: closing a file that was read asks the store nothing."""
JITTERS = ("lognormal:CV", "uniform:SHARE", "exponential")
_LONGEST_NS = 600 * 10**9
_MOST_PER_S = 10**7
"""Turns at the device are whole nanoseconds: beyond this they would be off by more than half a percent."""
_STREAM = 11
"""Keeps these draws apart from others of the same seed."""


@dataclass(frozen=True, slots=True)
class Jitter:
    """How latencies spread around their mean."""

    shape: str
    spread: float
    """Coefficient of variation of a lognormal one; half the width over the mean of a uniform one; else 1."""

    def factors(self, random: np.random.Generator, count: int) -> list[float]:
        """Return draws with a mean of 1."""
        if self.shape == "lognormal":
            sigma = math.sqrt(math.log1p(self.spread**2))
            drawn = random.lognormal(-(sigma**2) / 2, sigma, count)
        elif self.shape == "uniform":
            drawn = random.uniform(1 - self.spread, 1 + self.spread, count)
        else:
            drawn = random.exponential(1.0, count)
        factors: list[float] = drawn.tolist()
        return factors


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """The store to be imitated. Latencies are added up with queueing and transfer, as on a network."""

    latency_ns: Mapping[Kind, int] = field(default_factory=dict)
    """Mean latency of each kind of operation; kinds that are not there have none."""
    jitter: Jitter | None = None
    """None: every operation takes its mean."""
    bandwidth_bytes_per_s: int | None = None
    """Of reads and writes together, shared by all processes; None: not limited."""
    operations_per_s: int | None = None
    """Likewise of reads, writes, gets and puts."""
    metadata_per_s: int | None = None
    """Likewise of all others but close."""
    seed: int = 0
    """Decides the jitter."""
    text: str = ""
    """The parameters as they were given, each once."""
    parameters: str = ""
    """The same with a preset's written out."""


def parse_throttle(text: str, where: str) -> Throttle:
    """Return what the parameters of a URL ask for.

    Args:
        text: ``key=value`` pairs joined by ``&``.
        where: what messages begin with: the URL's place in the spec.

    Raises:
        SpecError: an unknown key, a wrong value, or no parameter at all; the message names the key.
    """
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text), separator="&")
    except ValueError as error:
        raise SpecError(f"{where}: ?{text}: write parameters as latency=5ms&iops=2000") from error
    if not pairs:
        raise SpecError(f"{where}: a throttled store needs parameters: ?latency=5ms, ?bandwidth=200MB/s, ?preset=nfs")
    given: dict[str, str] = {}
    for key, value in pairs:
        if key in given:
            raise SpecError(f"{where}: {key} is given twice")
        given[key] = value
    return _throttle(given, where)


def _throttle(given: dict[str, str], where: str) -> Throttle:
    known = [
        "preset",
        "latency",
        *(f"latency.{kind}" for kind in KINDS),
        "jitter",
        "bandwidth",
        "iops",
        "metadata",
        "seed",
    ]
    for key in given:
        if key not in known:
            hint = nearest(key, known) or f"; known: {', '.join(known[:2])}, latency.KIND, {', '.join(known[-5:])}"
            raise SpecError(f"{where}: {key}={given[key]}: unknown parameter{hint}")
    wanted = _with_preset(given, where)
    bandwidth, iops, seed = wanted.get("bandwidth"), wanted.get("iops"), wanted.get("seed", "0")
    names = wanted.get("metadata")
    return Throttle(
        latency_ns=_latencies(wanted, where),
        jitter=_jitter(wanted["jitter"], where) if "jitter" in wanted else None,
        bandwidth_bytes_per_s=None if bandwidth is None else _bandwidth(bandwidth, where),
        operations_per_s=None if iops is None else _whole("iops", iops, where, least=1, most=_MOST_PER_S),
        metadata_per_s=None if names is None else _whole("metadata", names, where, least=1, most=_MOST_PER_S),
        seed=_whole("seed", seed, where, least=0),
        text=_joined(given),
        parameters=_joined({key: value for key, value in wanted.items() if key != "preset"}),
    )


def _joined(parameters: Mapping[str, str]) -> str:
    return "&".join(f"{key}={value}" for key, value in parameters.items())


def _with_preset(given: dict[str, str], where: str) -> dict[str, str]:
    """Return the preset's parameters with those given on top; a plain ``latency`` replaces all of its latencies."""
    name = given.get("preset")
    if name is None:
        return given
    if name not in PRESETS:
        hint = nearest(name, PRESETS) or f"; known: {', '.join(PRESETS)}"
        raise SpecError(f"{where}: preset={name}: unknown preset{hint}")
    kept = {
        key: value
        for key, value in PRESETS[name].parameters.items()
        if not ("latency" in given and key.startswith("latency"))
    }
    return kept | given


def _latencies(wanted: dict[str, str], where: str) -> dict[Kind, int]:
    found: dict[Kind, int] = {}
    if "latency" in wanted:
        common_ns = _latency("latency", wanted["latency"], where)
        found = {kind: common_ns for kind in KINDS.values() if kind not in FREE_KINDS}
    for name, kind in KINDS.items():
        if (key := f"latency.{name}") in wanted:
            found[kind] = _latency(key, wanted[key], where)
    return {kind: latency_ns for kind, latency_ns in found.items() if latency_ns}


def _latency(key: str, text: str, where: str) -> int:
    try:
        latency_ns = parse_duration_ns(text)
    except ValueError as error:
        raise SpecError(f"{where}: {key}={text}: {error}") from error
    if not 0 <= latency_ns <= _LONGEST_NS:
        raise SpecError(f"{where}: {key}={text}: must be 0 to {exact_duration(_LONGEST_NS)}")
    return latency_ns


def _jitter(text: str, where: str) -> Jitter:
    shape, _, number = text.partition(":")
    try:
        spread = 1.0 if shape == "exponential" and not number else float(number)
    except ValueError:
        spread = math.nan
    most = {"lognormal": 10.0, "uniform": 1.0, "exponential": 1.0}.get(shape)
    if most is None or not 0 < spread <= most:
        raise SpecError(
            f"{where}: jitter={text}: write {', '.join(JITTERS[:-1])} or {JITTERS[-1]}, such as lognormal:0.5: the "
            "spread over the mean (a uniform one's at most 1)"
        )
    return Jitter(shape, spread)


def _bandwidth(text: str, where: str) -> int:
    try:
        rate_bytes_per_s = parse_bytes(text.removesuffix("/s"))
    except ValueError as error:
        raise SpecError(f"{where}: bandwidth={text}: {error}, with or without /s") from error
    if rate_bytes_per_s < 1:
        raise SpecError(f"{where}: bandwidth={text}: must be positive")
    return rate_bytes_per_s


def _whole(key: str, text: str, where: str, *, least: int, most: int = 2**63 - 1) -> int:
    try:
        count = parse_count(text)
    except ValueError as error:
        raise SpecError(f"{where}: {key}={text}: {error}") from error
    if not least <= count <= most:
        wanted = f"{least} or more" if count < least or most >= 2**63 - 1 else f"at most {most:,}"
        raise SpecError(f"{where}: {key}={text}: must be {wanted}")
    return count


class Factors:
    """Hands out the jitter of one stream of operations; the same for the same seed and stream."""

    def __init__(self, throttle: Throttle, stream: Sequence[int]) -> None:
        """Begin a stream.

        Args:
            throttle: whose jitter.
            stream: numbers of the rank and worker that ask.
        """
        self._drawn = self._endless(throttle, stream)

    def __call__(self) -> float:
        """Return by how much the next latency differs from its mean."""
        return next(self._drawn)

    @staticmethod
    def _endless(throttle: Throttle, stream: Sequence[int]) -> Iterator[float]:
        if throttle.jitter is None:
            while True:
                yield 1.0
        import numpy as np  # processes that only write datasets do without it

        seeds = (throttle.seed, _STREAM, *(number & 0xFFFFFFFF for number in stream))
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seeds)))
        while True:
            yield from throttle.jitter.factors(random, 1024)
