"""A traced object as a binary file of Python's: for libraries that read what `open` gives them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ioprof.store.tap_file import TapFile

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class TapStream(io.RawIOBase):
    """An open object from its start to its end; what one read asks for is one recorded operation.

    Closing it closes the object. Put `io.BufferedReader` around it, as `open` does.
    """

    def __init__(self, file: TapFile, size_bytes: int) -> None:
        """Begin at the start.

        Args:
            file: the open object.
            size_bytes: its size; reads end there.
        """
        super().__init__()
        self._file = file
        self._left_bytes = size_bytes
        self._at = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill the buffer, or as much of it as there is left; 0 at the end.

        Raises:
            OSError: the read failed, or the object is shorter than it should be; the error is counted.
        """
        wanted = memoryview(buffer).cast("B")[: self._left_bytes]
        if wanted:
            self._file.read_into(wanted, self._at)
            self._at += len(wanted)
            self._left_bytes -= len(wanted)
        return len(wanted)

    def close(self) -> None:
        """Close the object; safe to call twice."""
        if not self.closed:
            self._file.close()
        super().close()
