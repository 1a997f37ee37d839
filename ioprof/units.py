"""Quantities as people write and read them: ``4KiB``, ``2ms``, ``1M`` in; the same out.

Binary units are KiB, MiB, GiB (powers of 1024), decimal ones kB or KB, MB, GB (powers of 1000). The two are
never mixed: what is printed with an ``i`` was divided by 1024.
"""

import re
from decimal import Decimal

_NUMBER = re.compile(r"^\s*([+-]?(?:\d+(?:[_,]\d{3})*|\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)\s*([A-Za-zµμ]*)\s*$")

_BYTES = {
    "": 1, "b": 1,
    "k": 1000, "kb": 1000, "m": 1000**2, "mb": 1000**2, "g": 1000**3, "gb": 1000**3, "t": 1000**4, "tb": 1000**4,
    "kib": 1024, "mib": 1024**2, "gib": 1024**3, "tib": 1024**4,
}  # fmt: skip
_DURATION_NS = {
    "ns": 1, "us": 1000, "µs": 1000, "μs": 1000, "ms": 10**6, "s": 10**9, "": 10**9,
    "min": 60 * 10**9, "m": 60 * 10**9, "h": 3600 * 10**9,
}  # fmt: skip
_COUNT = {"": 1, "k": 1000, "m": 10**6, "g": 10**9, "b": 10**9}


def _parse(text: str | int | float, units: dict[str, int], what: str, example: str) -> Decimal:
    if isinstance(text, bool):
        raise ValueError(f"{text!r} is not a {what}; write it like {example}")
    if isinstance(text, int | float):
        value, unit = Decimal(str(text)), ""
    else:
        match = _NUMBER.match(text)
        if match is None or match[1] in ("", "+", "-"):
            raise ValueError(f"{text!r} is not a {what}; write it like {example}")
        value, unit = Decimal(match[1].replace("_", "").replace(",", "")), match[2].lower()
    if unit not in units:
        raise ValueError(f"{text!r}: unknown unit {unit!r} of a {what}; write it like {example}")
    # An exponent of a billion would take for ever to write out; nothing here is that large.
    if not value.is_finite() or value.adjusted() > 40:
        raise ValueError(f"{text!r} is not a finite {what}")
    return value * units[unit]


def parse_bytes(text: str | int | float) -> int:
    """Return a size in bytes from ``4KiB``, ``1.5MB`` or a plain number of bytes.

    Raises:
        ValueError: not a size, or not a whole number of bytes.
    """
    value = _parse(text, _BYTES, "size", "4KiB, 1.5MB or 512")
    if value != round(value):
        raise ValueError(f"{text!r} is not a whole number of bytes")
    return round(value)


def parse_duration_ns(text: str | int | float) -> int:
    """Return a duration in nanoseconds from ``2ms``, ``1.5s``, ``3min``; only 0 needs no unit.

    Raises:
        ValueError: not a duration, or a number without a unit: 20 may be meant as seconds or as milliseconds.
    """
    value = _parse(text, _DURATION_NS, "duration", "2ms, 1.5s or 3min")
    if value and (not isinstance(text, str) or text.strip()[-1] in "0123456789"):
        number = str(text).strip()
        raise ValueError(f"{text!r} has no unit; write {number}ms or {number}s")
    return round(value)


def parse_count(text: str | int | float) -> int:
    """Return a count from ``20k``, ``1M``, ``1_000_000`` or a plain whole number.

    Raises:
        ValueError: not a count, or not a whole number.
    """
    value = _parse(text, _COUNT, "count", "500, 20k or 1M")
    if value != round(value):
        raise ValueError(f"{text!r} is not a whole number")
    return round(value)


def format_bytes(size_bytes: float) -> str:
    """Return a size in binary units with three significant digits: ``4 KiB``, ``1.27 GiB``."""
    return _scaled(size_bytes, 1024, ("B", "KiB", "MiB", "GiB", "TiB", "PiB"))


def format_rate_bytes(rate_bytes_per_s: float) -> str:
    """Return a bandwidth in binary units per second: ``812 MiB/s``."""
    return format_bytes(rate_bytes_per_s) + "/s"


def format_duration(duration_ns: float) -> str:
    """Return a duration with three significant digits and the unit that suits it: ``61.0 µs``, ``1.27 s``."""
    if abs(duration_ns) >= 100e9:
        minutes, seconds = divmod(round(duration_ns / 1e9), 60)
        return f"{minutes} min {seconds:02d} s"
    return _scaled(duration_ns, 1000, ("ns", "µs", "ms", "s"))


def format_count(count: float) -> str:
    """Return a count or rate with thousands separators: ``5,210``; below 10, two decimals are kept."""
    if float(count).is_integer() or abs(count) >= 100:
        return f"{count:,.0f}"
    return f"{count:,.1f}" if abs(count) >= 10 else f"{count:,.2f}"


def _scaled(value: float, base: int, names: tuple[str, ...]) -> str:
    for name in names[:-1]:
        # 999.5 would print with four digits; step up to the next unit a little early, also for 1000-1023 KiB.
        if abs(value) < 999.5:
            return f"{_three_digits(value)} {name}"
        value /= base
    return f"{_three_digits(value)} {names[-1]}"


def _three_digits(value: float) -> str:
    if float(value).is_integer() and abs(value) < 1000:
        return f"{value:.0f}"
    if abs(value) >= 99.95:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def exact_bytes(size_bytes: int) -> str:
    """Return a size that `parse_bytes` reads back exactly: the largest binary unit that divides it."""
    for name in ("TiB", "GiB", "MiB", "KiB"):
        if size_bytes and size_bytes % _BYTES[name.lower()] == 0:
            return f"{size_bytes // _BYTES[name.lower()]}{name}"
    return f"{size_bytes}B"


def exact_duration(duration_ns: int) -> str:
    """Return a duration that `parse_duration_ns` reads back exactly: the largest unit that divides it."""
    for name in ("s", "ms", "us"):
        if duration_ns % _DURATION_NS[name] == 0:
            return f"{duration_ns // _DURATION_NS[name]}{name}"
    return f"{duration_ns}ns"


def exact_count(count: int) -> str:
    """Return a count that `parse_count` reads back exactly, as short as it gets: ``20k``, ``1M``, ``64``."""
    for name in ("G", "M", "k"):
        if count and count % _COUNT[name.lower()] == 0:
            return f"{count // _COUNT[name.lower()]}{name}"
    return str(count)
