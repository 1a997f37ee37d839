"""When the accelerator began on a batch and was done with it, as the training loop's own marks tell.

On a CPU the loop itself is the accelerator: it is busy from the moment it holds a batch until it asks for the next
one. A CUDA device works behind the loop's back: events in its stream, one behind the last thing that the loop launched
for a batch and one before the first thing for the next, tell how long it stood idle between them.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Protocol

STARVED_NS = 1_000_000
"""Where a device stood idle for longer, it began when the host said so, within microseconds: its clock is set anew."""


class Event(Protocol):
    """What `torch.cuda.Event` offers of this, recorded and timed."""

    def query(self) -> bool:
        """Tell whether the device has passed it."""
        ...

    def synchronize(self) -> None:
        """Wait until it has."""
        ...

    def elapsed_time(self, end: object, /) -> float:
        """Return milliseconds from this event to another one that the device has passed as well."""
        ...


class Timeline(Protocol):
    """Where marks are set, in order, and when each was reached."""

    name: str
    source: str

    def mark(self, at_ns: int, *, is_start: bool) -> None:
        """Set a mark now.

        Args:
            at_ns: now, on the run's clock.
            is_start: work on a batch begins behind it; else it ends there.
        """
        ...

    def reached(self, *, wait: bool = False) -> list[int]:
        """Return when further marks were reached on the run's clock, in the order they were set.

        Args:
            wait: until all were.
        """
        ...


class HostTimeline:
    """A mark is reached when it is set."""

    name = "training-loop"
    source = "the time between receiving a batch and asking for the next one, measured on the host"

    def __init__(self) -> None:
        self._marks_ns: list[int] = []

    def mark(self, at_ns: int, *, is_start: bool) -> None:
        """Set a mark now."""
        self._marks_ns.append(at_ns)

    def reached(self, *, wait: bool = False) -> list[int]:
        """Return the marks set since the last call."""
        marks_ns, self._marks_ns = self._marks_ns, []
        return marks_ns


class EventTimeline:
    """A mark is an event in the device's stream; nobody waits for it.

    Devices time events against each other, not against the host's clock. The first event, and each one before which
    the device had run dry, is reached when it is set; all others follow from the time between neighbours.
    """

    source = "events in the device's stream before the first and behind the last thing done with a batch"

    def __init__(self, name: str, record: Callable[[], Event]) -> None:
        """Say what is marked.

        Args:
            name: of the device.
            record: puts a new event into the stream that is current.
        """
        self.name = name
        self._record = record
        self._pending: list[tuple[Event, int, bool]] = []
        self._last: Event | None = None
        self._last_ns = 0

    def mark(self, at_ns: int, *, is_start: bool) -> None:
        """Put an event into the stream."""
        self._pending.append((self._record(), at_ns, is_start))

    def reached(self, *, wait: bool = False) -> list[int]:
        """Return when further events were passed; those that the device has still before it stay."""
        done: list[int] = []
        for event, set_ns, is_start in self._pending:
            if wait:
                event.synchronize()
            elif not event.query():
                break
            done.append(self._reached_ns(event, set_ns, is_start))
        del self._pending[: len(done)]
        return done

    def _reached_ns(self, event: Event, set_ns: int, is_start: bool) -> int:
        gap_ns = None if self._last is None else round(self._last.elapsed_time(event) * 1e6)
        if gap_ns is None or (is_start and gap_ns > STARVED_NS):
            at_ns = max(set_ns, self._last_ns)
        else:
            # No device passes an event before it is set.
            at_ns = max(set_ns, self._last_ns + gap_ns)
        self._last, self._last_ns = event, at_ns
        return at_ns


def timeline(device: str) -> Timeline:
    """Return where the accelerator's work is marked.

    Args:
        device: ``cpu``, ``cuda``, or ``auto``: the CUDA device that the process has used so far, if any.

    Raises:
        RuntimeError: ``cuda`` was asked for, and there is no such device.
    """
    torch = sys.modules.get("torch")
    if device == "cpu" or (device == "auto" and (torch is None or not torch.cuda.is_initialized())):
        return HostTimeline()
    cuda = importlib.import_module("torch.cuda")

    def recorded() -> Event:
        event: Event = cuda.Event(enable_timing=True)
        cuda.current_stream().record_event(event)
        return event

    return EventTimeline(str(cuda.get_device_name()), recorded)
