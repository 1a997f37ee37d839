"""What every batch changes, compiled; `ioprof.store.compiled` says whether it is there."""

import mmap
from array import array

from ioprof.trace import tally

INTERFACE: int
"""What Python may expect of this module; a number that changes with it."""

class Tally(tally.Tally):
    """What the class in Python is, of that name; not a subclass of it, but in all that matters."""

    def __new__(
        cls,
        mapping: mmap.mmap | bytearray,
        singles: array[int],
        layout: tuple[int, ...],
        worker: int,
        page_bytes: int,
        timed_one_in: int,
        /,
    ) -> Tally: ...
