"""Field types for specs: people write ``4KiB``, ``2ms``, ``1M``; the code holds plain integers with a unit."""

from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

from ioprof.units import exact_bytes, exact_duration, parse_bytes, parse_count, parse_duration_ns

_AS_TEXT = "json"

Bytes = Annotated[int, BeforeValidator(parse_bytes), PlainSerializer(exact_bytes, return_type=str, when_used=_AS_TEXT)]
"""A size in bytes, written ``4KiB`` or ``1.5MB``."""

DurationNs = Annotated[
    int, BeforeValidator(parse_duration_ns), PlainSerializer(exact_duration, return_type=str, when_used=_AS_TEXT)
]
"""A duration in nanoseconds, written ``2ms``; only 0 needs no unit."""

Count = Annotated[int, BeforeValidator(parse_count)]
"""A count, written ``20k`` or ``1M``."""
