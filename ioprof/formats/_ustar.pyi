"""A walk over tar archives, compiled; `ioprof.formats.ustar` says whether it is there."""

INTERFACE: int
"""What Python may expect of this module; a number that changes with it."""

def plain_samples(
    view: memoryview, at: int, last_key: bytes | None, label: bytes, /
) -> tuple[list[memoryview], int, bytes | None]:
    """Return what `ioprof.formats.ustar.Walk` says.

    Raises:
        ValueError: ``at`` lies before the view.
    """
