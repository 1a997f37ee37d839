"""Names of a stand-in's objects: below the directory that all share, or hidden behind a keyed hash."""

from __future__ import annotations

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from ioprof.dataset.marker import BOOKKEEPING
from ioprof.errors import UsageError

KEY_VARIABLE = "IOPROF_ANONYMISE_KEY"
_LEAST_KEY_BYTES = 16
_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_LONGEST = 255
"""Bytes of a name, on nearly all file systems."""


def relative_paths(names: Sequence[str]) -> list[str]:
    """Return the names as paths below the deepest directory that holds all of them; no two are equal.

    Schemes, leading slashes and steps such as ``..`` go. A name that is also the directory of another, as object stores
    allow it, gets ``.object`` behind it.
    """
    parts = [_parts(name) for name in names]
    shared = _shared_depth(parts)
    paths = ["/".join(one[shared:]) for one in parts]
    directories = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    taken: set[str] = set()
    found = []
    for path in paths:
        unique = f"{path}.object" if path in directories else path
        copy = 2
        while unique in taken:
            unique, copy = f"{path}~{copy}", copy + 1
        taken.add(unique)
        found.append(unique)
    return found


def _shared_depth(parts: Sequence[Sequence[str]]) -> int:
    """Return how many directories all names have in common, from the first on."""
    depth = min((len(one) - 1 for one in parts), default=0)
    first = parts[0] if parts else ()
    return next((level for level in range(depth) if any(one[level] != first[level] for one in parts)), depth)


def _parts(name: str) -> list[str]:
    parts = [part for part in _SCHEME.sub("", name).split("/") if part not in ("", ".", "..")]
    return ["_ioprof" if part == BOOKKEEPING else part for part in parts] or ["unnamed"]


def anonymising_key() -> bytes:
    """Return the key that names are hashed with: a new one for each replay, or the environment's, to reuse a stand-in.

    Raises:
        UsageError: the one that is given is too short to hide anything.
    """
    given = os.environ.get(KEY_VARIABLE, "").encode()
    if not given:
        return os.urandom(32)
    if len(given) < _LEAST_KEY_BYTES:
        raise UsageError(f"{KEY_VARIABLE}: {len(given)} bytes; a key needs {_LEAST_KEY_BYTES} or more")
    return hashlib.sha256(given).digest()


def anonymised(paths: Sequence[str], key: bytes) -> list[str]:
    """Return the paths with each component hashed: the same depth, the same names under the same names, equal lengths.

    Equal components become equal ones, wherever they stand. Where two of a directory would become the same, which
    happens to names of a few letters, one of them is made longer.
    """
    tree: dict[str, dict[str, str]] = {}
    taken: dict[str, set[str]] = {}
    found = []
    for path in paths:
        parent, hidden = "", ""
        for part in path.split("/"):
            names = tree.setdefault(parent, {})
            if part not in names:
                names[part] = _hidden(part, key, taken.setdefault(parent, set()))
            hidden = f"{hidden}/{names[part]}" if hidden else names[part]
            parent = f"{parent}/{part}"
        found.append(hidden)
    return found


def _hidden(part: str, key: bytes, taken: set[str]) -> str:
    length = min(len(part.encode()), _LONGEST)
    letters = _letters(part.encode(), key)
    while letters[:length] in taken:
        length += 1
    taken.add(letters[:length])
    return letters[:length]


def _letters(part: bytes, key: bytes) -> str:
    """Return 300 letters and digits that depend on the part and the key alone."""
    digest = b"".join(hashlib.blake2b(part, key=key, salt=bytes([block])).digest() for block in range(3))
    return base64.b32encode(digest).decode().rstrip("=").lower()
