"""CPU work per sample, calibrated on this host: real arithmetic on the sample's bytes, not a sleep.

The transform is the normalisation that image pipelines end in: bytes to float32, scaled and shifted, window by
window. How many windows make the asked CPU time is measured once, before the run; from then on the amount of work
is fixed, so that a crowded CPU stretches it as it would stretch a real decoder.
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
_ROUNDS = 8
_TOLERANCE_RATIO = 0.02
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


@cache
def calibrated_transform(cpu_ns: int, sample_bytes: int) -> CpuTransform:
    """Return a transform that takes ``cpu_ns`` of CPU time per sample on this host while nothing else runs.

    A process calibrates each only once: runs that it compares decode by the same amount of work.

    Args:
        cpu_ns: CPU time per sample.
        sample_bytes: size of a typical sample.
    Raises:
        SpecError: the time is below what one call costs by itself.
    """
    sample = bytes(sample_bytes)
    _spin(_SPIN_NS)
    call_ns = _cpu_ns(CpuTransform(0.0), sample)
    if cpu_ns <= call_ns:
        raise SpecError(
            f"workload.decode = {format_duration(cpu_ns)}: one call alone costs {format_duration(call_ns)} here; "
            "use 0 for no decoding, or a longer time"
        )
    windows = 40.0
    for _ in range(_ROUNDS):
        taken_ns = _cpu_ns(CpuTransform(windows), sample)
        if abs(taken_ns / cpu_ns - 1) < _TOLERANCE_RATIO:
            break
        windows *= max(cpu_ns - call_ns, 1.0) / max(taken_ns - call_ns, 1.0)
    return CpuTransform(windows)


def _spin(duration_ns: int) -> None:
    """Keep the CPU busy: one that was idle runs slower at first, and would be measured so."""
    end_ns = time.thread_time_ns() + duration_ns
    while time.thread_time_ns() < end_ns:
        pass


def _cpu_ns(transform: CpuTransform, sample: bytes) -> float:
    """Return the median CPU time of one call, over repeats spread across some milliseconds."""
    times = []
    for _ in range(21):
        start = time.thread_time_ns()
        transform(sample)
        times.append(time.thread_time_ns() - start)
    return statistics.median(times)
