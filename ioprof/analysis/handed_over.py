"""What workers handed over when they ended: on the store, or not, but in no rate of the run."""

from __future__ import annotations

from collections.abc import Iterator

from ioprof.analysis.operations import KindTotals, bytes_written
from ioprof.analysis.wording import percent
from ioprof.units import format_bytes

NOTABLE_SHARE = 0.01
"""Of all bytes written: beyond it, rates leave a notable part of the work out."""


def handed_over_caveats(handed_over: list[KindTotals], written_bytes: int) -> Iterator[str]:
    """Yield what a reader must know of it.

    Args:
        handed_over: the operations of the workers' ends.
        written_bytes: bytes of the whole run that went to the store, these included.
    """
    failed = sum(kind.errors for kind in handed_over)
    if failed:
        noun = "operation" if failed == 1 else "operations"
        yield f"{failed:,} {noun} failed when workers handed over what they held: the end of it is not on the store."
    late_bytes = bytes_written(handed_over)
    if written_bytes and late_bytes / written_bytes > NOTABLE_SHARE:
        yield (
            f"{format_bytes(late_bytes)}, {percent(late_bytes / written_bytes)} of all that was written, went to the "
            "store after the last step, when the workers ended: no rate includes it."
        )
