"""How long one tap's operations on a throttled store take: the real operation, then waiting until it may end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from ioprof.host.precise_wait import PreciseWait
from ioprof.store.device_clock import DeviceClock
from ioprof.store.throttle import DATA_KINDS, FREE_KINDS, Factors, Throttle
from ioprof.trace.kinds import Kind

_now = time.perf_counter_ns
_Result = TypeVar("_Result")


class Pace:
    """Makes operations last as long as a throttle asks; used from one thread at a time.

    An operation ends when its latency has passed after its turn at the device and the transfer of its bytes. The
    real operation runs in that time: only what is left is waited for. One that comes back late, because waking up
    took long, lets the next one queue earlier by as much: a client that asks without pause gets the whole rate.

    Attributes:
        held: operations, and the time asked for and given in ns, summed, of each kind that was held back.
        slower: those whose real operation alone took longer than latency and transfer.
    """

    def __init__(
        self,
        throttle: Throttle,
        clock: DeviceClock | None,
        stream: Sequence[int],
        names_clock: DeviceClock | None = None,
    ) -> None:
        """Say what to imitate.

        Args:
            throttle: the store.
            clock: the device's queue; None where only latencies are asked for.
            stream: numbers of the rank and worker, which the jitter depends on.
            names_clock: the queue of operations that move no data; None where their number is not limited.
        """
        self.held: dict[Kind, list[int]] = {}
        self.slower = 0
        self._clock = clock
        self._names_clock = names_clock
        self._name_ns = round(1e9 / throttle.metadata_per_s) if throttle.metadata_per_s else 0
        self._latency_ns = throttle.latency_ns
        self._factor = Factors(throttle, stream)
        self._operation_ns = round(1e9 / throttle.operations_per_s) if throttle.operations_per_s else 0
        self._ns_per_byte = 1e9 / throttle.bandwidth_bytes_per_s if throttle.bandwidth_bytes_per_s else 0.0
        self._wait = PreciseWait()
        self._late_ns = 0

    def begin_count(self) -> None:
        """Forget what was held back so far: in a warm-up."""
        self.held.clear()
        self.slower = 0

    def timed(self, kind: Kind, call: Callable[[], _Result], moved: Callable[[_Result], int] | None = None) -> _Result:
        """Do an operation and return its result when it may end; one that fails takes its time as well.

        Args:
            kind: what it is.
            call: the real operation.
            moved: returns the bytes that went to or came from the store, given the result; None: there are none.

        Raises:
            OSError: the operation's own.
        """
        start_ns = _now()
        try:
            result = call()
        except OSError:
            self.hold(kind, start_ns, 0)
            raise
        self.hold(kind, start_ns, moved(result) if moved is not None else 0)
        return result

    def hold(self, kind: Kind, start_ns: int, size_bytes: int) -> None:
        """Return when an operation that began at ``start_ns`` and moved ``size_bytes`` may end."""
        latency_ns = self._latency_ns.get(kind, 0)
        if latency_ns:
            latency_ns = round(latency_ns * self._factor())
        is_data, is_name = kind in DATA_KINDS, kind not in DATA_KINDS and kind not in FREE_KINDS
        due_ns, transfer_ns = start_ns, 0
        if self._clock is not None and is_data:
            transfer_ns = round(size_bytes * self._ns_per_byte)
            due_ns = self._clock.served_ns(start_ns - self._late_ns, self._operation_ns, transfer_ns)
        elif self._names_clock is not None and is_name:
            due_ns = self._names_clock.served_ns(start_ns - self._late_ns, self._name_ns, 0)
        elif not latency_ns:
            return
        self.slower += _now() - start_ns > latency_ns + transfer_ns > 0
        due_ns = max(due_ns, start_ns) + latency_ns
        self._wait.until(due_ns)
        end_ns = _now()
        self._late_ns = max(0, end_ns - due_ns)
        sums = self.held.setdefault(kind, [0, 0, 0])
        sums[0] += 1
        sums[1] += due_ns - start_ns
        sums[2] += end_ns - start_ns
