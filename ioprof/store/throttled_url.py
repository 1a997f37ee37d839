"""The URL of a throttled store: ``throttle+`` and the store below, then ``?`` and what it is to be made like."""

from __future__ import annotations

PREFIX = "throttle+"


def split_url(url: str) -> tuple[str, str]:
    """Return the URL or path of the store below, and the parameters; no parameters where there is no ``?``."""
    below, mark, parameters = url.removeprefix(PREFIX).rpartition("?")
    return (below, parameters) if mark else (parameters, "")


def below_url(url: str) -> str:
    """Return the URL or path of the store below a throttled one; any other URL as it is."""
    return split_url(url)[0] if url.startswith(PREFIX) else url
