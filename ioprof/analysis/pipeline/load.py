"""What a replay is made from: the work of a rank, and how it is shared out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_EVENTS_BESIDE = 12
"""Of a batch, beside the turns in which it is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What one rank's pipeline has to do: arrays with an entry per batch, durations in ns as if alone on the host."""

    samples: Ints
    store_ns: Floats
    """Blocked in storage operations."""
    cpu_ns: Floats
    """Worker on a CPU."""
    blocked_ns: Floats
    """Worker blocked by anything else."""
    send_ns: Floats
    """On a CPU to send the batch, while the worker goes on."""
    send_wait_ns: Floats
    """Under way for anything but a CPU."""
    after_ns: Floats
    """Likewise, when the batch has arrived."""
    unwrap_ns: Floats
    """Consumer on a CPU to receive it; without workers, to go on to the next one."""
    handover_ns: Floats
    """Consumer on a CPU when its turn has come, after the next one was asked for."""
    unwrap_wait_ns: Floats
    """Consumer held up by anything else while it receives it."""
    pin_ns: Floats
    """On a CPU to pin it, in a thread of its own."""
    transfer_ns: Floats
    """Copy to the accelerator."""
    busy_ns: Floats
    before_ns: Floats
    """Consumer held up before it asks for the batch: by a save, or by workers that end and start between epochs."""
    opens: NDArray[np.bool_]
    """The batch is the first of an epoch: nothing is made ahead of it."""

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def computed_ns(self) -> float:
        """On a CPU for a mean batch, whoever it is."""
        return float(
            (self.cpu_ns + self.send_ns + self.after_ns + self.unwrap_ns + self.handover_ns + self.pin_ns).mean()
        )

    def at_most(self, count: int) -> Load:
        """Return the first batches."""
        return Load(**{name: getattr(self, name)[:count] for name in self.__dataclass_fields__})

    def from_batch(self, first: int) -> Load:
        """Return the same batches, beginning with another one and wrapping at the end."""
        fields = {name: np.roll(getattr(self, name), -first) for name in self.__dataclass_fields__}
        return Load(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """How the work is shared out."""

    workers: int
    prefetch: int
    in_order: bool
    pin: bool
    cores: float
    """CPUs of one host."""
    other_load: float
    """Other programs that always want a CPU of it, on average."""
    ranks: int
    """Ranks on this host; they take each step together."""
    hosts: int
    """Hosts like this one that use the store at the same time."""
    slowdown: Callable[[float], float]
    """How many times as long operations take with so many of them at the store as with one."""
    wake_ns: float
    """From dispatch to start of a worker that has nothing to do."""
    parts: int
    """Turns in which each batch's storage and CPU time alternate, of random lengths."""

    def batches_of(self, events: int) -> int:
        """Return how many batches so many events replay, about."""
        return events // (self.ranks * (2 * self.parts + _EVENTS_BESIDE))
