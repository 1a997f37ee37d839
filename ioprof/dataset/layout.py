"""Where objects are and how large: everything computed from the index, nothing held per object."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ioprof.dataset.content import Content
from ioprof.dataset.sizes import SizeDistribution, Sizes, range_sizes
from ioprof.errors import SpecError
from ioprof.units import format_count

MAX_OBJECTS = 10**12
_TABLE_DIRECTORIES = 20_000
"""Up to so many directories, their names are kept: a look-up costs half of what printing two numbers does."""


@dataclass(frozen=True, slots=True)
class Naming:
    """The names of ``count`` objects in directories of at most ``files_per_dir`` entries, 1 or 2 deep.

    Object 1,234,567 at 1,000 per directory is ``1234/1234567``, or ``1/1234/1234567`` where more than 1,000
    directories are needed.
    """

    count: int
    files_per_dir: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MAX_OBJECTS:
            raise SpecError(f"{self.count} objects: must be from 1 to {format_count(MAX_OBJECTS)}")
        if not 1 <= self.files_per_dir <= MAX_OBJECTS:
            raise SpecError(f"{self.files_per_dir} files per directory: must be at least 1")
        if self.count > self.files_per_dir**3:
            raise SpecError(
                f"{self.files_per_dir} files per directory: two levels hold {self.files_per_dir**3:,}, "
                f"not {self.count:,} objects; use at least {_cube_root(self.count):,}"
            )

    @property
    def leaf_directories(self) -> int:
        """Number of directories that hold objects."""
        return -(-self.count // self.files_per_dir)

    @property
    def two_levels(self) -> bool:
        """Whether the directories stand in directories of their own."""
        return self.leaf_directories > self.files_per_dir

    def path(self, index: int) -> str:
        """Return the path of object ``index``."""
        return f"{self.directory(index // self.files_per_dir)}/{index}"

    def directory(self, number: int) -> str:
        """Return the path of the directory ``number`` that holds objects."""
        return f"{number // self.files_per_dir}/{number}" if self.two_levels else str(number)

    def directories(self) -> Iterator[str]:
        """Yield every directory, parents before children."""
        for number in range(self.leaf_directories):
            if self.two_levels and number % self.files_per_dir == 0:
                yield str(number // self.files_per_dir)
            yield self.directory(number)

    @classmethod
    def of(cls, identity: Mapping[str, object]) -> Naming | None:
        """Return the naming that an identity describes; None where another kind of layout made the names."""
        count, per_dir = identity.get("objects"), identity.get("files_per_dir")
        if identity.get("layout") != OpaqueLayout.kind or not isinstance(count, int):
            return None
        return cls(count, per_dir) if isinstance(per_dir, int) else None


class OpaqueLayout:
    """Objects of random bytes; picklable, and a few hundred bytes large whatever the count."""

    kind = "opaque"

    def __init__(
        self,
        *,
        count: int,
        sizes: SizeDistribution,
        files_per_dir: int = 1000,
        seed: int = 0,
        compress_ratio: float = 1.0,
    ) -> None:
        """Describe the objects.

        Args:
            count: number of objects.
            sizes: how large they are.
            files_per_dir: most entries any directory may have.
            seed: decides sizes and content.
            compress_ratio: what a compressor should make of the content; 1 cannot be compressed.

        Raises:
            SpecError: a value makes no sense.
        """
        if not 0 <= seed < 2**63:
            raise SpecError(f"seed {seed}: must be from 0 to 2^63 - 1")
        if not 1.0 <= compress_ratio <= 100.0:
            raise SpecError(f"compress ratio {compress_ratio}: must be from 1 (incompressible) to 100")
        self.count = count
        self.size_distribution = sizes
        self.files_per_dir = files_per_dir
        self.seed = seed
        self.compress_ratio = float(compress_ratio)
        self.naming = Naming(count, files_per_dir)
        self.fixed_size_bytes = sizes.fixed_size_bytes
        self._per_top = files_per_dir**2 if self.naming.two_levels else 0
        self._prefixes = self._prefix_table()
        self._rooted: tuple[str | None, list[str]] = (None, [])
        self._content = Content(seed, self.compress_ratio)
        self.render: Callable[[int, int], memoryview] = self._content.render
        """Return the whole content of object (index, size in bytes); the next call may reuse the buffer.

        An attribute, because a million small files pay for every layer of calls.
        """

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (
            self.count,
            self.size_distribution,
            self.files_per_dir,
            self.seed,
            self.compress_ratio,
        )

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return all that decides the stored bytes and names."""
        return {
            "layout": self.kind,
            "layout_format": 1,
            "objects": self.count,
            "files_per_dir": self.files_per_dir,
            "seed": self.seed,
            "compress_ratio": self.compress_ratio,
            **self.size_distribution.identity(),
        }

    def path(self, index: int) -> str:
        """Return the path of object ``index``; the index is not checked, because reads wait for this."""
        if self._prefixes:
            return f"{self._prefixes[index // self.files_per_dir]}{index}"
        if self._per_top:
            return f"{index // self._per_top}/{index // self.files_per_dir}/{index}"
        return f"{index // self.files_per_dir}/{index}"

    def paths(self, indices: Sequence[int], root: str) -> list[str]:
        """Return the paths of many objects with ``root`` in front: at 4 KiB per file a call each would show."""
        if not self._prefixes:
            return [root + self.path(index) for index in indices]
        if self._rooted[0] != root:
            self._rooted = (root, [root + prefix for prefix in self._prefixes])
        prefixes, per_dir = self._rooted[1], self.files_per_dir
        return [f"{prefixes[index // per_dir]}{index}" for index in indices]

    def directories(self) -> Iterator[str]:
        """Yield every directory, parents before children."""
        return self.naming.directories()

    def sizes(self, start: int, stop: int) -> Sizes:
        """Return the sizes in bytes of objects ``start`` to ``stop`` - 1.

        Raises:
            IndexError: the range reaches outside of the dataset.
        """
        if not 0 <= start <= stop <= self.count:
            raise IndexError(f"objects {start} to {stop} of {self.count}")
        return range_sizes(self.size_distribution, self.seed, start, stop)

    def pieces(self, index: int, size_bytes: int) -> Iterator[memoryview]:
        """Yield the content of object ``index`` in pieces, for objects that memory should not hold whole."""
        return self._content.pieces(index, size_bytes)

    def _prefix_table(self) -> list[str]:
        if self.naming.leaf_directories > _TABLE_DIRECTORIES:
            return []
        return [f"{self.naming.directory(number)}/" for number in range(self.naming.leaf_directories)]


def _rebuild(count: int, sizes: SizeDistribution, files_per_dir: int, seed: int, compress_ratio: float) -> OpaqueLayout:
    return OpaqueLayout(count=count, sizes=sizes, files_per_dir=files_per_dir, seed=seed, compress_ratio=compress_ratio)


def _cube_root(count: int) -> int:
    root = round(math.cbrt(count))
    return root if root**3 >= count else root + 1
