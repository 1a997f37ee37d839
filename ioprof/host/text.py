"""Small files of the kernel as text; whatever is missing or unreadable is None."""

from __future__ import annotations

from pathlib import Path

Scalar = str | int | float | bool | None


def read_text(path: Path) -> str | None:
    """Return the content without surrounding blanks; None where it is missing, unreadable or empty."""
    try:
        return path.read_text(errors="replace").strip() or None
    except OSError:
        return None


def read_int(path: Path) -> int | None:
    """Return the first word as a whole number; None where there is none."""
    words = (read_text(path) or "").split()
    try:
        return int(words[0])
    except (IndexError, ValueError):
        return None


def chosen(text: str | None) -> str | None:
    """Return the word in brackets of a kernel's list of choices (``always [madvise] never``)."""
    if text is None:
        return None
    return text[text.index("[") + 1 : text.index("]")] if "[" in text and "]" in text else text
