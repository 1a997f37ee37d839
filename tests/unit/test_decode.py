"""Decoding on the CPU: real work whose amount was fixed beforehand."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ioprof.workloads import decode
from ioprof.workloads.decode import WINDOW_BYTES, CpuTransform, calibrated_transform

from ioprof.errors import SpecError


class Counting(CpuTransform):
    """Counts the bytes that were worked on."""

    worked_bytes = 0

    def _normalise(self, pixels: object) -> None:
        super()._normalise(pixels)  # type: ignore[arg-type]
        self.worked_bytes += len(pixels)  # type: ignore[arg-type]


@settings(max_examples=40)
@given(size_bytes=st.integers(0, 3 * WINDOW_BYTES) | st.just(1), windows=st.floats(0, 7))
def test_the_work_depends_on_the_windows_asked_for_and_not_on_the_sample(size_bytes: int, windows: float) -> None:
    """A small file costs as much as a large one: the cost per sample is what the user set; bytes stay as they are."""
    transform = Counting(windows)
    content = bytes(size_bytes)
    if size_bytes == 0:
        return
    assert transform(content) is content
    assert transform.worked_bytes == pytest.approx(windows * WINDOW_BYTES, abs=1)


def test_an_empty_sample_can_be_decoded() -> None:
    """A file of zero bytes is a file."""
    assert CpuTransform(2.5)(b"") == b""


def test_a_transform_travels_to_another_process() -> None:
    """With the amount of work that was calibrated here."""
    copy = pickle.loads(pickle.dumps(Counting(2.5)))  # noqa: S301 - made in the line itself
    copy(bytes(100))
    assert copy.worked_bytes == pytest.approx(2.5 * WINDOW_BYTES, abs=1)


def test_calibration_turns_cpu_time_into_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a machine where a call costs 1 us and a window 10 us, 101 us are ten windows."""
    decode._costs_ns.cache_clear()
    monkeypatch.setattr(decode, "_REST_S", 0.0)
    monkeypatch.setattr(decode, "_spin", lambda duration_ns: None)
    monkeypatch.setattr(
        decode, "_cpu_ns", lambda made, sample: 1_000 + 10_000 * (made._whole + made._rest / WINDOW_BYTES)
    )
    transform = calibrated_transform(101_000, 4096)
    assert transform._whole + transform._rest / WINDOW_BYTES == pytest.approx(10, rel=0.02)
    with pytest.raises(SpecError, match=r"one call alone costs 1 µs .* use 0 for no decoding"):
        calibrated_transform(900, 4096)
    decode._costs_ns.cache_clear()


def test_three_times_the_decoding_is_three_times_the_work_whatever_the_cpu_did_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The CPU is half as fast at every other moment: the work is that of its full speed, and in the ratio asked for."""
    decode._costs_ns.cache_clear()
    monkeypatch.setattr(decode, "_REST_S", 0.0)
    monkeypatch.setattr(decode, "_spin", lambda duration_ns: None)
    calls = iter(range(1000))
    monkeypatch.setattr(
        decode, "_cpu_ns", lambda made, sample: (1 + next(calls) // 2 % 2) * (1_000 + 10_000 * made._whole)
    )
    one, three = calibrated_transform(101_000, 4096), calibrated_transform(301_000, 4096)
    assert (one._whole, three._whole) == (10, 30)
    decode._costs_ns.cache_clear()
