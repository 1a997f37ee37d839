"""Where records lie: sample numbers scattered over the files by a permutation that needs no memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ioprof.contract import Indices

_ROUNDS = 4
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_SHIFT = np.uint64(29)


class Scatter:
    """A permutation of 0 to ``count`` - 1 that depends on the seed alone; picklable, of constant size.

    A Feistel network of four rounds over the next even number of bits; results beyond ``count`` are sent through
    it again, which ends, because the network permutes.
    """

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self._half_bits = max(1, -(-(count - 1).bit_length() // 2))
        self._keys = [int(key) for key in np.random.SeedSequence((seed, 2)).generate_state(_ROUNDS, np.uint64)]

    def of(self, numbers: Indices) -> Indices:
        """Return where each number goes; numbers from ``count`` on begin anew."""
        places = self._sent((numbers % self.count).astype(np.uint64))
        while (beyond := places >= np.uint64(self.count)).any():
            places[beyond] = self._sent(places[beyond])
        return places.astype(np.int64)

    def _sent(self, values: NDArray[np.uint64]) -> NDArray[np.uint64]:
        bits, mask = np.uint64(self._half_bits), np.uint64((1 << self._half_bits) - 1)
        left, right = values >> bits, values & mask
        for key in self._keys:
            mixed = (right ^ np.uint64(key)) * _MIX
            mixed = (mixed ^ (mixed >> _SHIFT)) * _MIX
            left, right = right, left ^ ((mixed >> _SHIFT) & mask)
        return (left << bits) | right


class RecordPlaces:
    """Which file each record is in, and at which offset; picklable."""

    def __init__(self, *, files: int, file_bytes: int, record_bytes: int, alignment_bytes: int, seed: int) -> None:
        """Spread records over files.

        Args:
            files: number of files.
            file_bytes: size of each.
            record_bytes: size of a record; at most that of a file.
            alignment_bytes: records begin at multiples of it.
            seed: decides the places.
        """
        self._slots_per_file = (file_bytes - record_bytes) // alignment_bytes + 1
        self._alignment_bytes = alignment_bytes
        self._scatter = Scatter(files * self._slots_per_file, seed)

    def of(self, samples: Indices) -> tuple[list[int], list[int]]:
        """Return the files and offsets in bytes of these samples; distinct as long as there are places left."""
        files, slots = np.divmod(self._scatter.of(samples), self._slots_per_file)
        return files.tolist(), (slots * self._alignment_bytes).tolist()
