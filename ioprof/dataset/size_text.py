"""Size distributions as people write them in one word."""

from __future__ import annotations

from ioprof.dataset.sizes import Fixed, Histogram, Lognormal, SizeDistribution, Uniform
from ioprof.units import parse_bytes

FORMS = "4KiB, uniform:1KiB-64KiB, lognormal:112KiB:0.5 or a CSV file of size,weight"


def parse_sizes(text: str) -> SizeDistribution:
    """Return the distribution that ``4KiB``, ``uniform:LOW-HIGH``, ``lognormal:MEAN[:CV]`` or a CSV path names.

    Raises:
        SpecError: the sizes are out of range, or the CSV is wrong.
        ValueError: none of these forms.
    """
    kind, colon, rest = text.strip().partition(":")
    try:
        if kind == "uniform" and colon:
            low, dash, high = rest.partition("-")
            if dash:
                return Uniform(parse_bytes(low), parse_bytes(high))
        elif kind == "lognormal" and colon:
            mean, _, spread = rest.partition(":")
            return Lognormal(parse_bytes(mean), float(spread) if spread else 0.5)
        elif text.strip().endswith(".csv"):
            return Histogram.from_csv(text.strip())
        else:
            return Fixed(parse_bytes(text))
    except ValueError as error:
        raise ValueError(f"{error}; file sizes are {FORMS}") from error
    raise ValueError(f"{text!r}: file sizes are {FORMS}")
