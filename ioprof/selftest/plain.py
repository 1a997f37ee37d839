"""What a loader costs beside the known times, measured on a plain program: the same files, and nothing of ioprof.

Its worker opens, reads and closes files, each operation held for a known time; its consumer takes the batches as they
come at first, and sleeps after each of them later on. What the worker takes besides, and how long a batch is on its
way, belongs to every run on this host, and so to the truth that a run is held against.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, NamedTuple

from ioprof.clock import now_ns
from ioprof.host.parent_death import become_worker
from ioprof.host.precise_wait import PreciseWait

if TYPE_CHECKING:
    from ioprof.selftest.cases import Loader

_AWAITED = 8
_THERE = 8
_FIRST = 3
"""Batches of either part that are left out: begun before it, or while others started."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnCosts:
    """What one batch takes beside operations of known length, in ns."""

    batch_ns: float = 0.0
    """In its worker, from the first operation to the last: what is not held of them, the code between, joining."""
    gap_ns: float = 0.0
    """In its worker, from the end of one batch to the start of the next that is wanted already."""
    handover_ns: float = 0.0
    """From the end of a batch that is waited for until the consumer has it."""
    unwrap_ns: float = 0.0
    """From asking for a batch that is there until the consumer has it."""
    on_cpu_ns: float = 0.0
    """In its worker, on a CPU, from the first operation to the last."""


class Stamps(NamedTuple):
    """When a batch was made, and how much of that its operations were held."""

    start_ns: int
    end_ns: int
    held_ns: int
    on_cpu_ns: int
    """By the thread's CPU clock."""


_STAMPS = struct.Struct("<4q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """How long each operation on a file is held, in ns; 0: as long as it takes."""

    open_ns: int
    read_ns: int


def own_costs(loader: Loader, batches: Sequence[Sequence[str]], held: Held, compute_ns: int) -> OwnCosts:
    """Return the median costs of a plain program with one worker.

    Args:
        loader: the kind of its machinery: pipes, or torch's DataLoader.
        batches: files of each batch; repeated as needed.
        held: the known times.
        compute_ns: how long the consumer sleeps between batches, at least; a batch takes less than it sleeps.

    Raises:
        OSError: a file cannot be read.
    """
    longest_ns = round(1.5 * max(map(len, batches)) * (held.open_ns + held.read_ns))
    wanted = [batches[number % len(batches)] for number in range(_AWAITED + _THERE)]
    made, asked, received = list[Stamps](), list[int](), list[int]()
    with _OPENED[loader](wanted, held) as delivered:
        asked.append(now_ns())
        for stamps in delivered:
            received.append(now_ns())
            made.append(stamps)
            if len(made) > _AWAITED:
                time.sleep(max(compute_ns, longest_ns) / 1e9)
            asked.append(now_ns())
    awaited, there = range(_FIRST, _AWAITED), range(_AWAITED + _FIRST, len(made))
    return OwnCosts(
        batch_ns=statistics.median(one.end_ns - one.start_ns - one.held_ns for one in made),
        gap_ns=statistics.median(made[k].start_ns - made[k - 1].end_ns for k in awaited),
        handover_ns=statistics.median(received[k] - made[k].end_ns for k in awaited),
        unwrap_ns=statistics.median(received[k] - asked[k] for k in there),
        on_cpu_ns=statistics.median(one.on_cpu_ns for one in made),
    )


class PlainReader:
    """Reads files one after the other, each operation held."""

    def __init__(self, held: Held) -> None:
        self._wait = PreciseWait()
        self._times = held

    def read(self, paths: Sequence[str]) -> tuple[list[bytes], Stamps]:
        """Return the content of files, and when that was."""
        contents, held_ns, start_ns, cpu_ns = list[bytes](), 0, now_ns(), time.thread_time_ns()
        for path in paths:
            open_ns = now_ns()
            descriptor = os.open(path, os.O_RDONLY)
            held_ns += self._held(open_ns, self._times.open_ns)
            read_ns = now_ns()
            contents.append(os.read(descriptor, os.fstat(descriptor).st_size))
            held_ns += self._held(read_ns, self._times.read_ns)
            os.close(descriptor)
        return contents, Stamps(start_ns, now_ns(), held_ns, time.thread_time_ns() - cpu_ns)

    def _held(self, start_ns: int, time_ns: int) -> int:
        if not time_ns:
            return 0
        self._wait.until(start_ns + time_ns)
        return now_ns() - start_ns


@contextmanager
def _piped(batches: Sequence[Sequence[str]], held: Held) -> Iterator[Iterator[Stamps]]:
    """Give a worker process that is asked over one pipe and answers over another, two batches ahead."""
    context = multiprocessing.get_context("fork")
    wanted, asking = context.Pipe(duplex=False)
    taking, answering = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(batches, held, wanted, answering, (asking, taking)), daemon=True)
    with ExitStack() as stack:
        stack.callback(process.join)
        for end in (asking, taking):
            stack.callback(end.close)
        process.start()
        wanted.close()
        answering.close()
        yield _asked_in_turn(asking, taking, len(batches))


def _asked_in_turn(asking: Connection, taking: Connection, count: int) -> Iterator[Stamps]:
    ahead = 2
    for number in range(min(ahead, count)):
        asking.send_bytes(number.to_bytes(8))
    for number in range(count):
        packed = taking.recv_bytes()
        if number + ahead < count:
            asking.send_bytes((number + ahead).to_bytes(8))
        yield Stamps(*_STAMPS.unpack(packed))


def _answer(
    batches: Sequence[Sequence[str]],
    held: Held,
    wanted: Connection,
    answering: Connection,
    not_ours: tuple[Connection, ...],
) -> None:
    become_worker()
    for end in not_ours:
        end.close()
    reader = PlainReader(held)
    with suppress(EOFError, BrokenPipeError):
        while True:
            _, stamps = reader.read(batches[int.from_bytes(wanted.recv_bytes())])
            answering.send_bytes(_STAMPS.pack(*stamps))


@contextmanager
def _by_torch(batches: Sequence[Sequence[str]], held: Held) -> Iterator[Iterator[Stamps]]:
    """Give torch's DataLoader with one worker."""
    from ioprof.selftest.plain_torch import delivered  # imports torch

    yield delivered(batches, PlainReader(held))


_OPENED = {"processes": _piped, "torch-map": _by_torch}
