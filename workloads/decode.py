"""CPU work per sample, calibrated on this host: real arithmetic on the sample's bytes, not a sleep.

The transform is the normalisation that image pipelines end in: bytes to float32, scaled and shifted, window by
window. What a window takes is measured once, before the run; from then on the amount of work is fixed, so that a
crowded CPU stretches it as it would stretch a real decoder.
"""

from __future__ import annotations

import statistics
import time
from functools import cache
from typing import TypeVar

import numpy as np

from ioprof.errors import SpecError
from ioprof.units import format_duration

WINDOW_BYTES = 16 * 1024
_Content = TypeVar("_Content", bound=bytes | memoryview)
_SPIN_NS = 30_000_000
_MOMENTS, _REST_S = 8, 0.03
"""Times at which a window is timed, and how far they are apart: about half a second together."""
_CALLS = 9
_WINDOWS = 100.0
"""Of a call that is timed."""
_SCALE, _SHIFT = np.float32(1 / 255), np.float32(-0.5)


class CpuTransform:
    """Normalises windows of a sample until ``windows`` of them are done; picklable."""

    def __init__(self, windows: float) -> None:
        """Fix the amount of work.

        Args:
            windows: number of windows; a fraction is a shorter last window.
        """
        self._whole = int(windows)
        self._rest = int((windows - self._whole) * WINDOW_BYTES)
        self._out = np.empty(WINDOW_BYTES, dtype=np.float32)

    def __call__(self, content: _Content) -> _Content:
        """Do the work on the sample's bytes and return them as they were."""
        pixels = np.frombuffer(content, dtype=np.uint8)
        if len(pixels) < WINDOW_BYTES:
            pixels = np.resize(pixels, WINDOW_BYTES)
        last = len(pixels) - WINDOW_BYTES + 1
        for window in range(self._whole):
            start = window * WINDOW_BYTES % last
            self._normalise(pixels[start : start + WINDOW_BYTES])
        if self._rest:
            self._normalise(pixels[: self._rest])
        return content

    def _normalise(self, pixels: np.ndarray[tuple[int], np.dtype[np.uint8]]) -> None:
        out = self._out[: len(pixels)]
        np.multiply(pixels, _SCALE, out=out)
        np.add(out, _SHIFT, out=out)


def calibrated_transform(cpu_ns: int, sample_bytes: int) -> CpuTransform:
    """Return a transform that takes ``cpu_ns`` of CPU time per sample on this host while nothing else runs.

    A process times a window only once, and half the time asked for is half the work: what runs of one process decode
    is in the ratio of what was asked for, whatever the CPU's speed did in between.

    Args:
        cpu_ns: CPU time per sample.
        sample_bytes: size of a typical sample.
    Raises:
        SpecError: the time is below what one call costs by itself.
    """
    call_ns, window_ns = _costs_ns(sample_bytes)
    if cpu_ns <= call_ns:
        raise SpecError(
            f"workload.decode = {format_duration(cpu_ns)}: one call alone costs {format_duration(call_ns)} here; "
            "use 0 for no decoding, or a longer time"
        )
    return CpuTransform((cpu_ns - call_ns) / window_ns)


@cache
def _costs_ns(sample_bytes: int) -> tuple[float, float]:
    """Return the CPU time of a call that does nothing, and of each window, while the CPU is at its fastest.

    Somebody else on the other half of a core makes it slower by up to a factor of 1.7 for a second or so: the least of
    several moments says what undisturbed work takes, and is the same in the next process.
    """
    sample = bytes(sample_bytes)
    _spin(_SPIN_NS)
    idle, working = CpuTransform(0.0), CpuTransform(_WINDOWS)
    moments = []
    for moment in range(_MOMENTS):
        if moment:
            time.sleep(_REST_S)
            _spin(_SPIN_NS // _MOMENTS)
        moments.append((_cpu_ns(idle, sample), _cpu_ns(working, sample)))
    call_ns = min(idle_ns for idle_ns, _ in moments)
    return call_ns, max(min(working_ns for _, working_ns in moments) - call_ns, 1.0) / _WINDOWS


def _spin(duration_ns: int) -> None:
    """Keep the CPU busy: one that was idle runs slower at first, and would be measured so."""
    end_ns = time.thread_time_ns() + duration_ns
    while time.thread_time_ns() < end_ns:
        pass


def _cpu_ns(transform: CpuTransform, sample: bytes) -> float:
    """Return the median CPU time of one call."""
    times = []
    for _ in range(_CALLS):
        start = time.thread_time_ns()
        transform(sample)
        times.append(time.thread_time_ns() - start)
    return statistics.median(times)
