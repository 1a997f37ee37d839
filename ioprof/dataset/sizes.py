"""How large objects are: distributions whose draws depend only on the seed and the object's index.

Objects are drawn in blocks of `BLOCK_OBJECTS`, each from a bit generator of its own, so that any one's size
is known without drawing those before it. Only raw bits are taken from numpy: its bit generators never change,
its distributions may, and a dataset must be the same under every version.
"""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from ioprof.errors import SpecError
from ioprof.units import format_bytes, parse_bytes

BLOCK_OBJECTS = 65_536
"""Objects drawn together."""
MAX_OBJECT_BYTES = 16 * 1024**4
"""Largest object accepted; larger ones are taken for a slip of the keyboard."""

Sizes = NDArray[np.int64]
Identity = Mapping[str, str | int | float | bool]


class SizeDistribution(Hashable, Protocol):
    """Sizes of objects; frozen and hashable, so that drawn blocks can be cached."""

    @property
    def fixed_size_bytes(self) -> int | None:
        """The one size all objects have; None where they differ."""
        ...

    def identity(self) -> Identity:
        """Return all that decides the sizes, apart from the seed."""
        ...

    def draw(self, bits: np.random.PCG64, count: int) -> Sizes:
        """Return ``count`` sizes in bytes made of the generator's raw bits."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """Every object has the same size."""

    size_bytes: int

    def __post_init__(self) -> None:
        _check_size("object size", self.size_bytes)

    @property
    def fixed_size_bytes(self) -> int:
        """The size itself."""
        return self.size_bytes

    def identity(self) -> Identity:
        """Return the kind and the size."""
        return {"sizes": "fixed", "size_bytes": self.size_bytes}

    def draw(self, bits: np.random.PCG64, count: int) -> Sizes:
        """Return ``count`` times the size; the bits are not used."""
        return np.full(count, self.size_bytes, dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Every whole number of bytes from ``low_bytes`` to ``high_bytes`` is equally likely."""

    low_bytes: int
    high_bytes: int

    def __post_init__(self) -> None:
        _check_size("smallest object size", self.low_bytes)
        _check_size("largest object size", self.high_bytes)
        if self.low_bytes > self.high_bytes:
            raise SpecError(
                f"object sizes from {self.low_bytes} to {self.high_bytes} bytes: "
                "the smallest is above the largest; swap them"
            )

    @property
    def fixed_size_bytes(self) -> int | None:
        """The size if both ends are equal."""
        return self.low_bytes if self.low_bytes == self.high_bytes else None

    def identity(self) -> Identity:
        """Return the kind and both ends."""
        return {"sizes": "uniform", "size_low_bytes": self.low_bytes, "size_high_bytes": self.high_bytes}

    def draw(self, bits: np.random.PCG64, count: int) -> Sizes:
        """Return sizes from both ends included."""
        span = self.high_bytes - self.low_bytes + 1
        return self.low_bytes + np.floor(_unit(bits, count) * span).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """Many small objects and a long tail, as photographs have; cut off at ``cap_ratio`` times the mean."""

    mean_bytes: int
    cv_ratio: float
    """Coefficient of variation: standard deviation over mean, before the cut."""
    cap_ratio: float = 16.0
    """Largest size over the mean; keeps one object from filling the store."""

    def __post_init__(self) -> None:
        _check_size("mean object size", self.mean_bytes)
        if not 0 < self.cv_ratio <= 10:
            raise SpecError(
                f"lognormal sizes: coefficient of variation {self.cv_ratio} is not above 0 and at most 10; "
                "photographs have about 0.7"
            )
        if not 1 <= self.cap_ratio <= 1000:
            raise SpecError(f"lognormal sizes: cap {self.cap_ratio} is not between 1 and 1000 times the mean")

    @property
    def fixed_size_bytes(self) -> None:
        """Lognormal sizes always differ."""
        return None

    def identity(self) -> Identity:
        """Return the kind, mean, spread and cut."""
        return {
            "sizes": "lognormal",
            "size_mean_bytes": self.mean_bytes,
            "size_cv_ratio": float(self.cv_ratio),
            "size_cap_ratio": float(self.cap_ratio),
        }

    def draw(self, bits: np.random.PCG64, count: int) -> Sizes:
        """Return sizes of at least one byte."""
        variance = math.log1p(self.cv_ratio**2)
        normal = _normal(bits, count)
        sizes = np.exp(math.log(self.mean_bytes) - variance / 2 + math.sqrt(variance) * normal)
        return np.clip(np.rint(sizes), 1, self.cap_ratio * self.mean_bytes).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Normal:
    """Sizes around a mean, as benchmark configurations give them: mean and standard deviation.

    What lies further from the mean than `REACH_RATIO` of it is cut off at that distance on both sides, which keeps
    the mean: no object is empty, and none is twice the mean or more.
    """

    mean_bytes: int
    stdev_bytes: int
    """Standard deviation, before the cut."""

    REACH_RATIO: ClassVar[float] = 0.99

    def __post_init__(self) -> None:
        _check_size("mean object size", self.mean_bytes)
        if not 0 <= self.stdev_bytes <= self.mean_bytes:
            raise SpecError(
                f"normal sizes: standard deviation {format_bytes(self.stdev_bytes)} is not between 0 and the mean, "
                f"{format_bytes(self.mean_bytes)}"
            )

    @property
    def fixed_size_bytes(self) -> int | None:
        """The mean where nothing is spread around it."""
        return None if self.stdev_bytes else self.mean_bytes

    def identity(self) -> Identity:
        """Return the kind, mean and standard deviation."""
        return {"sizes": "normal", "size_mean_bytes": self.mean_bytes, "size_stdev_bytes": self.stdev_bytes}

    def draw(self, bits: np.random.PCG64, count: int) -> Sizes:
        """Return sizes of at least one byte."""
        reach = self.REACH_RATIO * self.mean_bytes
        sizes = self.mean_bytes + np.clip(self.stdev_bytes * _normal(bits, count), -reach, reach)
        return np.maximum(np.rint(sizes), 1).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Histogram:
    """Sizes as someone counted them: each size as often as its weight says."""

    sizes_bytes: tuple[int, ...]
    weights: tuple[float, ...]
    """Any positive scale: counts, shares or percent."""

    def __post_init__(self) -> None:
        if not self.sizes_bytes or len(self.sizes_bytes) != len(self.weights):
            raise SpecError("size histogram: needs at least one size, and one weight for each")
        for size_bytes in self.sizes_bytes:
            _check_size("size histogram: size", size_bytes)
        if not all(weight >= 0 and math.isfinite(weight) for weight in self.weights) or sum(self.weights) <= 0:
            raise SpecError("size histogram: weights must be 0 or more and not all 0")

    @classmethod
    def from_csv(cls, path: str | Path) -> Histogram:
        """Read two columns, size and weight; a heading, blank lines and ``#`` comments are skipped.

        Sizes may carry units (``4KiB``).

        Raises:
            SpecError: the file cannot be read, or a line is wrong (named by its number).
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SpecError(f"size histogram {path}: cannot be read ({error})") from error
        rows = _csv_rows(path, text)
        if not rows or not sum(weight for _, weight in rows) > 0:
            raise SpecError(f"size histogram {path}: no line with a size and a weight above 0; write '4096,10'")
        return cls(tuple(size for size, _ in rows), tuple(weight for _, weight in rows))

    @property
    def fixed_size_bytes(self) -> int | None:
        """The size if only one has a weight."""
        used = {size for size, weight in zip(self.sizes_bytes, self.weights, strict=True) if weight > 0}
        return used.pop() if len(used) == 1 else None

    def identity(self) -> Identity:
        """Return the kind and a digest of the table."""
        table = repr((self.sizes_bytes, tuple(float(weight) for weight in self.weights)))
        return {
            "sizes": "histogram",
            "size_rows": len(self.sizes_bytes),
            "size_table_sha256": hashlib.sha256(table.encode()).hexdigest(),
        }

    def draw(self, bits: np.random.PCG64, count: int) -> Sizes:
        """Return sizes of the table only."""
        edges = np.cumsum(np.asarray(self.weights, dtype=np.float64))
        rows = np.searchsorted(edges, _unit(bits, count) * edges[-1], side="right")
        # Rounding may land on the far edge: that is the last row with a weight, not the one after it.
        last = np.flatnonzero(np.asarray(self.weights))[-1]
        sizes: Sizes = np.asarray(self.sizes_bytes, dtype=np.int64)[np.minimum(rows, last)]
        return sizes


@lru_cache(maxsize=4)
def block_sizes(distribution: SizeDistribution, seed: int, block: int) -> Sizes:
    """Return the read-only sizes of one whole block of `BLOCK_OBJECTS` objects."""
    bits = np.random.PCG64(np.random.SeedSequence((seed, block)))
    sizes = distribution.draw(bits, BLOCK_OBJECTS)
    sizes.flags.writeable = False
    return sizes


def range_sizes(distribution: SizeDistribution, seed: int, start: int, stop: int) -> Sizes:
    """Return the sizes of objects ``start`` to ``stop`` - 1; the same however they are asked for."""
    if distribution.fixed_size_bytes is not None:
        return np.full(stop - start, distribution.fixed_size_bytes, dtype=np.int64)
    parts = []
    for block in range(start // BLOCK_OBJECTS, -(-stop // BLOCK_OBJECTS)):
        first = block * BLOCK_OBJECTS
        parts.append(block_sizes(distribution, seed, block)[max(start - first, 0) : stop - first])
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)


def _unit(bits: np.random.PCG64, count: int) -> NDArray[np.float64]:
    """Uniform in [0, 1) with 53 bits."""
    return (_raw(bits, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _normal(bits: np.random.PCG64, count: int) -> NDArray[np.float64]:
    """Standard normal by Box and Muller: two uniforms each, no rejection, so draws stay aligned."""
    radius = np.sqrt(-2.0 * np.log1p(-_unit(bits, count)))
    return np.asarray(radius * np.cos(2.0 * np.pi * _unit(bits, count)), dtype=np.float64)


def _raw(bits: np.random.PCG64, count: int) -> NDArray[np.uint64]:
    return np.asarray(bits.random_raw(count), dtype=np.uint64)


def _check_size(what: str, size_bytes: int) -> None:
    if size_bytes < 1:
        raise SpecError(f"{what} {size_bytes} bytes: must be at least 1 byte")
    if size_bytes > MAX_OBJECT_BYTES:
        raise SpecError(f"{what} {format_bytes(size_bytes)}: more than {format_bytes(MAX_OBJECT_BYTES)}")


def _csv_rows(path: str | Path, text: str) -> list[tuple[int, float]]:
    rows: list[tuple[int, float]] = []
    heading_allowed = True
    for number, cells in enumerate(csv.reader(text.splitlines()), start=1):
        if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
            continue
        try:
            rows.append(_csv_row(cells))
        except (ValueError, SpecError) as error:
            if heading_allowed and not any(cell.strip()[:1].isdigit() for cell in cells):
                heading_allowed = False
                continue
            raise SpecError(f"size histogram {path}, line {number}: {error}") from error
        heading_allowed = False
    return rows


def _csv_row(cells: list[str]) -> tuple[int, float]:
    if len(cells) != 2:
        raise ValueError(f"{len(cells)} columns where two belong: size, weight")
    size_bytes = parse_bytes(cells[0])
    _check_size("size", size_bytes)
    try:
        weight = float(cells[1])
    except ValueError:
        raise ValueError(f"weight {cells[1].strip()!r} is not a number") from None
    if not (weight >= 0 and math.isfinite(weight)):
        raise ValueError(f"weight {cells[1].strip()} must be 0 or more")
    return size_bytes, weight
