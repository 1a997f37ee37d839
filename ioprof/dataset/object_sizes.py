"""Object sizes as readers in worker processes need them: cheap to send, opened where they are used."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ioprof.dataset.manifest import Manifest, open_manifest
from ioprof.dataset.sizes import Sizes
from ioprof.store.base import Store

if TYPE_CHECKING:
    # pydantic comes with it, and every worker would wait for that.
    from ioprof.contract import Layout


class FixedSizes:
    """Every object has the same size."""

    def __init__(self, size_bytes: int) -> None:
        self._size_bytes = size_bytes
        self._last: list[int] = []

    def of(self, objects: Sequence[int]) -> list[int]:
        """Return the one size as often as asked: the very list of the call before where the number is the same."""
        if len(self._last) != len(objects):
            self._last = [self._size_bytes] * len(objects)
        return self._last


class ManifestSizes:
    """Sizes from the manifest, mapped in the process that asks; only the store travels between processes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._sizes: Sizes | None = None

    def __reduce__(self) -> tuple[type[ManifestSizes], tuple[Store]]:
        return ManifestSizes, (self._store,)

    def of(self, objects: Sequence[int]) -> list[int]:
        """Return the sizes in bytes of these objects, in order."""
        if self._sizes is None:
            self._sizes = open_manifest(self._store).sizes
        found: list[int] = self._sizes[objects].tolist()
        return found


class LayoutSizes:
    """Sizes as the layout computes them, for a dataset that was not prepared: no manifest is needed, but time is."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def of(self, objects: Sequence[int]) -> list[int]:
        """Return the sizes in bytes of these objects, in order."""
        return [int(self._layout.sizes(index, index + 1)[0]) for index in objects]


def object_sizes(store: Store, manifest: Manifest) -> FixedSizes | ManifestSizes:
    """Return the sizes of a prepared dataset in the cheapest form there is."""
    if manifest.fixed_size_bytes is not None:
        return FixedSizes(manifest.fixed_size_bytes)
    return ManifestSizes(store)
