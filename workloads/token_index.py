"""Token files and their indexes: what `token-stream` stores.

Each file of tokens (``N.bin``) is a plain array of little-endian uint16 or uint32. Beside it stands its index
(``N.idx``), a format of our own in the manner of Megatron's:

    magic        8 bytes   IOPROFTK
    version      uint32    1
    token bytes  uint32    2 or 4
    tokens       uint64    how many the token file holds
    documents    uint64    how many documents these are
    offsets      uint64 x (documents + 1)   token at which each begins; the first is 0, the last is `tokens`

all little-endian, without gaps.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ioprof.contract import Indices
from ioprof.dataset.content import PIECE_BYTES, Content
from ioprof.dataset.layout import Naming
from ioprof.errors import DatasetError

MAGIC = b"IOPROFTK"
VERSION = 1
_HEADER = struct.Struct("<8sIIQQ")
HEADER_BYTES = _HEADER.size
_OFFSET_BYTES = 8
FILES_PER_DIR = 500
"""Token files per directory; with their indexes that makes a thousand entries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexHeader:
    """What an index says of its token file."""

    token_bytes: int
    tokens: int
    documents: int

    def packed(self) -> bytes:
        """Return the header as stored."""
        return _HEADER.pack(MAGIC, VERSION, self.token_bytes, self.tokens, self.documents)

    def __str__(self) -> str:
        return f"{self.tokens:,} tokens of {self.token_bytes} B in {self.documents:,} documents"

    @property
    def index_bytes(self) -> int:
        """Size of the whole index."""
        return HEADER_BYTES + (self.documents + 1) * _OFFSET_BYTES


def check_header(path: str, stored: bytes, expected: IndexHeader) -> None:
    """Compare the first bytes of an index with what its token file should hold.

    Raises:
        DatasetError: it is no index, of another version, or of another token file.
    """
    if len(stored) < HEADER_BYTES or not stored.startswith(MAGIC):
        raise DatasetError(f"{path}: not an index of tokens; run ioprof prepare with --verify")
    _, version, token_bytes, tokens, documents = _HEADER.unpack_from(stored)
    if version != VERSION:
        raise DatasetError(f"{path}: an index of version {version}, and this ioprof reads {VERSION}")
    found = IndexHeader(token_bytes=token_bytes, tokens=tokens, documents=documents)
    if found != expected:
        raise DatasetError(f"{path}: does not match its token file: {found}, where {expected} should stand")


def check_index(path: str, stored: bytes, expected: IndexHeader) -> None:
    """Compare a whole index with what its token file should hold: documents without gaps, to the last token.

    Raises:
        DatasetError: it is no index, or not that of this token file.
    """
    check_header(path, stored, expected)
    if len(stored) != expected.index_bytes:
        raise DatasetError(f"{path}: {len(stored)} bytes, where {expected.documents:,} documents need another size")
    offsets = np.frombuffer(stored, dtype="<u8", offset=HEADER_BYTES).astype(np.int64)
    if offsets[0] != 0 or offsets[-1] != expected.tokens or (np.diff(offsets) <= 0).any():
        raise DatasetError(f"{path}: does not match its token file: its documents overlap or leave tokens out")


class TokenLayout:
    """Token files and their indexes, computed from the number: object 2 N is ``N.bin``, object 2 N + 1 ``N.idx``."""

    kind = "token-stream"

    def __init__(self, *, files: int, header: IndexHeader, seed: int) -> None:
        """Describe the objects.

        Args:
            files: number of token files.
            header: what each of them holds.
            seed: decides tokens and where documents begin.
        """
        self.count = 2 * files
        self.header = header
        self._files = files
        self._seed = seed
        self._naming = Naming(files, FILES_PER_DIR)
        self._content = Content(seed)

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self._files, self.header, self._seed)

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return all that decides the stored bytes and names."""
        return {
            "layout": self.kind,
            "layout_format": VERSION,
            "files": self._files,
            "token_bytes": self.header.token_bytes,
            "tokens_per_file": self.header.tokens,
            "documents_per_file": self.header.documents,
            "seed": self._seed,
        }

    def path(self, index: int) -> str:
        """Return the path of object ``index``."""
        file, is_index = divmod(index, 2)
        return f"{self._naming.path(file)}{'.idx' if is_index else '.bin'}"

    def directories(self) -> Iterator[str]:
        """Yield every directory, parents before children."""
        return self._naming.directories()

    def sizes(self, start: int, stop: int) -> Indices:
        """Return the sizes in bytes of objects ``start`` to ``stop`` - 1."""
        if not 0 <= start <= stop <= self.count:
            raise IndexError(f"objects {start} to {stop} of {self.count}")
        is_index = np.arange(start, stop, dtype=np.int64) % 2
        return np.where(is_index, self.header.index_bytes, self.header.tokens * self.header.token_bytes)

    def render(self, index: int, size_bytes: int) -> bytes | memoryview:
        """Return the whole content of object ``index``; the next call may reuse the buffer."""
        return self._index(index) if index % 2 else self._content.render(index, size_bytes)

    def pieces(self, index: int, size_bytes: int) -> Iterator[memoryview]:
        """Yield the content of object ``index`` in pieces."""
        if index % 2 == 0:
            yield from self._content.pieces(index, size_bytes)
            return
        content = memoryview(self._index(index))
        for start in range(0, size_bytes, PIECE_BYTES):
            yield content[start : start + PIECE_BYTES]

    def _index(self, index: int) -> bytes:
        return self.header.packed() + document_offsets(self.header, index // 2, self._seed).tobytes()


def _rebuilt(files: int, header: IndexHeader, seed: int) -> TokenLayout:
    return TokenLayout(files=files, header=header, seed=seed)


def document_offsets(header: IndexHeader, file: int, seed: int) -> NDArray[np.uint64]:
    """Return the token at which each document of a file begins, and the end; every document has a token at least.

    Borders are drawn evenly, so lengths are spread like waiting times: many short documents, few long ones.
    """
    inner = header.documents - 1
    bits = np.random.PCG64(np.random.SeedSequence((seed, file, 3))).random_raw(inner) if inner else np.zeros(0, "u8")
    borders = np.sort(np.asarray(bits, dtype=np.uint64) % np.uint64(header.tokens - inner))
    offsets = np.zeros(header.documents + 1, dtype="<u8")
    # Sorted borders may coincide: one more token for each that came before makes them distinct.
    offsets[1:-1] = borders + np.arange(1, inner + 1, dtype=np.uint64)
    offsets[-1] = header.tokens
    return offsets
