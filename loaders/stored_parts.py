"""Which objects, and which samples of them, one part of a stream reads: for loaders that read a format themselves."""

from __future__ import annotations

from typing import NamedTuple

from ioprof.contract import Part, StoredSamples


class Stretch(NamedTuple):
    """Samples of one object that follow each other."""

    obj: int
    first: int
    """Number inside the object."""
    stop: int


def stretches_of(stored: StoredSamples, epoch: int, part: Part, unit_samples: int | None = None) -> list[Stretch]:
    """Return what a part reads; over all parts every sample comes once.

    Parts take turns at whole objects. Where there are more parts than objects, objects are cut on the borders of units.

    Args:
        stored: the dataset.
        epoch: decides the order.
        part: whose share it is.
        unit_samples: samples that can be read on their own; None where an object is read from its start.
    """
    order, each = [int(obj) for obj in stored.order(epoch)], stored.samples_per_object
    if unit_samples is None or part.count <= len(order):
        return [Stretch(obj, 0, each) for obj in order[part.index :: part.count]]
    units = [
        Stretch(obj, first, min(first + unit_samples, each)) for obj in order for first in range(0, each, unit_samples)
    ]
    return units[len(units) * part.index // part.count : len(units) * (part.index + 1) // part.count]
