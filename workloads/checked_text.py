"""Parameters that are text with a form of its own: checked when the spec is, kept as they were written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

from pydantic import AfterValidator

from ioprof.dataset.size_text import parse_sizes
from ioprof.errors import SpecError


def parsed_by(parse: Callable[[str], object]) -> AfterValidator:
    """Return the check that a text is one that ``parse`` understands."""

    def check(text: str) -> str:
        try:
            parse(text)
        except SpecError as error:
            # pydantic adds the key and where its value came from to a ValueError, and to nothing else.
            raise ValueError(str(error)) from error
        return text

    return AfterValidator(check)


SizesText = Annotated[str, parsed_by(parse_sizes)]
"""Sizes, written ``4KiB``, ``uniform:1KiB-64KiB``, ``lognormal:112KiB:0.5`` or as the path of a CSV file."""
