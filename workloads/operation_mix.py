"""A mix of operations on names: which share each has of an epoch, and in which order they come."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ioprof.contract import Indices
from ioprof.errors import SpecError, nearest

OPERATIONS = (
    "mkdir", "create", "setxattr", "getxattr", "stat", "open", "list", "scan", "rename", "unlink", "rmdir",
)  # fmt: skip
"""In the order in which a batch does them: what makes names comes first, what removes them last."""
_UNDONE_BY = {"create": "unlink", "mkdir": "rmdir"}
_MOST_WEIGHT = 10**6


@dataclass(frozen=True, slots=True)
class OperationMix:
    """Weights of operations; those without a weight are left out."""

    weights: tuple[tuple[str, int], ...]
    """Name and weight, in the order of `OPERATIONS`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The operations that occur."""
        return tuple(name for name, _ in self.weights)

    def without(self, names: Collection[str]) -> OperationMix | None:
        """Return the mix of what is left when these are taken out; None where nothing is."""
        left = tuple((name, weight) for name, weight in self.weights if name not in names)
        return OperationMix(left) if left else None

    def counts(self, operations: int) -> list[int]:
        """Return how many of ``operations`` each name gets: as near to its share as whole numbers allow."""
        total = sum(weight for _, weight in self.weights)
        exact = [weight * operations / total for _, weight in self.weights]
        counts = [int(share) for share in exact]
        by_rest = sorted(range(len(exact)), key=lambda place: counts[place] - exact[place])
        for place in by_rest[: operations - sum(counts)]:
            counts[place] += 1
        return counts

    def stops(self, operations: int) -> Indices:
        """Return the sample number after the last one of each name: numbers are given out name by name."""
        return np.cumsum(np.array(self.counts(operations), dtype=np.int64))

    def order(self, operations: int, seed: int, epoch: int) -> Indices:
        """Return the sample numbers of an epoch, shuffled so that any stretch holds every name in its share.

        Each name's samples are spread evenly over the epoch, at random places within their own stretch: a plain shuffle
        would give some batches twice the creations of others, and workers would run out of files to remove.
        """
        raw = np.random.PCG64(np.random.SeedSequence((seed, epoch, 1))).random_raw(2 * operations)
        within, between = raw[:operations], raw[operations:]
        place = np.empty(operations, dtype=np.float64)
        for start, stop in pairwise([0, *self.stops(operations).tolist()]):
            rank = np.empty(stop - start, dtype=np.float64)
            rank[np.argsort(within[start:stop], kind="stable")] = np.arange(stop - start)
            place[start:stop] = (rank + between[start:stop] * 2.0**-64) / max(1, stop - start)
        return np.argsort(place, kind="stable").astype(np.int64, copy=False)

    def __str__(self) -> str:
        return ",".join(f"{name}:{weight}" for name, weight in self.weights)


def parse_mix(text: str) -> OperationMix:
    """Read ``stat:50,open:20,create:10,unlink:10``; a name without a weight has weight 1.

    Raises:
        SpecError: an operation is unknown or named twice, a weight is no whole number, all are 0, or what is created is
            not removed as often.
    """
    weights: dict[str, int] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, colon, number = (word.strip() for word in part.partition(":"))
        if name not in OPERATIONS:
            hint = nearest(name, OPERATIONS) or f"; known: {', '.join(sorted(OPERATIONS))}"
            raise SpecError(f"no operation '{name}'{hint}")
        if name in weights:
            raise SpecError(f"'{name}' stands there twice; give it one weight")
        weights[name] = _weight(name, number if colon else "1")
    if not any(weights.values()):
        raise SpecError("no operation has a weight above 0; write stat:50,open:20 for five stats to two opens")
    for made_by, undone_by in _UNDONE_BY.items():
        made, undone = weights.get(made_by, 0), weights.get(undone_by, 0)
        if made != undone:
            both = max(made, undone)
            raise SpecError(
                f"{made_by}:{made} but {undone_by}:{undone}: what is created must be removed, so that nothing piles up "
                f"or runs out; give both one weight, such as {made_by}:{both},{undone_by}:{both}"
            )
    return OperationMix(tuple((name, weights[name]) for name in OPERATIONS if weights.get(name)))


def _weight(name: str, number: str) -> int:
    if not (number.isascii() and number.isdigit() and int(number) <= _MOST_WEIGHT):
        raise SpecError(f"{name}:{number}: a weight is a whole number from 0 to {_MOST_WEIGHT:,}")
    return int(number)
