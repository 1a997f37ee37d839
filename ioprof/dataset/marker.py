"""The marker: proof that ioprof made a directory, and what it put there.

It is written before the first object, and nothing is ever overwritten or removed in a directory without one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal, cast

from ioprof import __version__
from ioprof.dataset.place import place
from ioprof.errors import DatasetError
from ioprof.store.base import Store

BOOKKEEPING = ".ioprof"
"""Directory in the dataset's root that holds everything that is not an object."""
MARKER_PATH = f"{BOOKKEEPING}/marker.json"
MARKER_FORMAT = 1

State = Literal["preparing", "complete"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marker:
    """What the marker file says."""

    state: State
    """`complete` only after every object is written and synced."""
    identity: dict[str, str | int | float | bool]
    """The layout's identity."""
    dataset_id: str
    """First ten hexadecimal digits of the identity's SHA-256; also the end of the directory's name."""
    objects: int
    total_bytes: int
    chunk_objects: int
    """Objects per chunk; finished chunks are recorded by number until the dataset is complete."""
    boot_id: str = ""
    """The kernel's boot that wrote it last: after another one, records of finished chunks are checked."""
    made_by: str = "ioprof"
    version: str = __version__
    """Version of ioprof that wrote the marker."""
    format: int = MARKER_FORMAT


def identity_json(identity: Mapping[str, str | int | float | bool]) -> str:
    """Return the identity as text, the same for equal identities."""
    return json.dumps(dict(identity), sort_keys=True, separators=(",", ":"))


def dataset_id(identity: Mapping[str, str | int | float | bool]) -> str:
    """Return the ten digits that name a dataset."""
    return hashlib.sha256(identity_json(identity).encode()).hexdigest()[:10]


def write_marker(store: Store, marker: Marker) -> None:
    """Write or replace the marker of the dataset at the store's root; readers see the old or the new one."""
    content = json.dumps(asdict(marker), indent=1).encode()
    store.write(f"{MARKER_PATH}.new", content, sync=True)
    store.rename(f"{MARKER_PATH}.new", MARKER_PATH)


def read_marker(store: Store) -> Marker | None:
    """Return the marker of the dataset at the store's root; None where there is none.

    Raises:
        DatasetError: the marker is damaged, or of a newer version.
    """
    try:
        content = store.read(MARKER_PATH)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        found = json.loads(content)
        newer = found["made_by"] == "ioprof" and found["format"] > MARKER_FORMAT
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{place(store)}/{MARKER_PATH}: not a marker of ioprof ({error}); look at it") from error
    if newer:
        raise DatasetError(f"{place(store)}: made by a newer ioprof ({found.get('version')}); use that version")
    return _marker(store, found)


def _marker(store: Store, found: Mapping[str, object]) -> Marker:
    try:
        if found["made_by"] != "ioprof" or found["state"] not in ("preparing", "complete"):
            raise ValueError(f"made by {found['made_by']!r}, state {found['state']!r}")
        if not isinstance(found["identity"], dict):
            raise ValueError("the identity is no table")
        return Marker(
            state=found["state"],
            identity=found["identity"],
            dataset_id=str(found["dataset_id"]),
            objects=int(cast("int", found["objects"])),
            total_bytes=int(cast("int", found["total_bytes"])),
            chunk_objects=int(cast("int", found["chunk_objects"])),
            boot_id=str(found["boot_id"]),
            version=str(found["version"]),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise DatasetError(f"{place(store)}/{MARKER_PATH}: damaged marker ({error}); look at it") from error
