"""What is run and predicted: a base setting for each scenario, and what differs from it in each rerun."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.validation.setting import Setting


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One calibration run, and the reruns that are predicted from it."""

    name: str
    base: Setting
    changes: tuple[Mapping[str, object], ...]
    """Fields of `Setting`, for each rerun."""
    quick: tuple[int, ...] = ()
    """Which of them `--quick` runs."""

    def settings(self, *, quick: bool) -> list[Setting]:
        """Return the settings of the reruns."""
        chosen = [self.changes[number] for number in self.quick] if quick else self.changes
        return [replace(self.base, **change) for change in chosen]


SCENARIOS = (
    Scenario(
        name="latency, constant",
        base=Setting(workers=2, open_us=400, read_us=800, batch_size=16, compute_us=2000),
        changes=(
            {"workers": 1}, {"workers": 4}, {"workers": 8}, {"batch_size": 48}, {"workers": 4, "prefetch": 1},
            {"open_us": 800, "read_us": 1600}, {"open_us": 200, "read_us": 400}, {"compute_us": 15000},
        ),
        quick=(1, 5),
    ),
    Scenario(
        name="latency, jittered",
        base=Setting(workers=2, open_us=200, read_us=1000, jitter="lognormal:1.0", batch_size=8, compute_us=1000),
        changes=(
            {"workers": 4}, {"workers": 8}, {"prefetch": 1}, {"workers": 4, "prefetch": 8}, {"batch_size": 2},
            {"workers": 4, "in_order": False}, {"open_us": 1000}, {"open_us": 1200, "read_us": 6000, "workers": 8},
        ),
        quick=(1, 5),
    ),
    Scenario(
        name="one sample per batch, heavy tail",
        base=Setting(workers=3, read_us=6000, jitter="lognormal:1.5", batch_size=1, compute_us=500),
        changes=({"workers": 8}, {"workers": 8, "prefetch": 8}, {"workers": 8, "in_order": False}, {"workers": 1}),
    ),
    Scenario(
        name="accelerator, starving to full",
        base=Setting(workers=2, read_us=800, jitter="lognormal:0.5", batch_size=16, compute_us=4000),
        changes=(
            {"compute_us": 1000}, {"compute_us": 7000}, {"compute_us": 20000}, {"compute_us": 4000, "workers": 4},
            {"compute_us": 2000, "workers": 6},
        ),
        quick=(1,),
    ),
    Scenario(
        name="shared queue: operations per second",
        base=Setting(workers=2, iops=2000, read_us=500, batch_size=16, compute_us=1000),
        changes=({"workers": 1}, {"workers": 4}, {"iops": 1000}, {"iops": 4000, "workers": 4}),
        quick=(1,),
    ),
    Scenario(
        name="shared queue: bandwidth",
        base=Setting(workers=2, mb_per_s=100, read_us=500, record_bytes=65536, batch_size=16, compute_us=1000),
        changes=({"workers": 1}, {"workers": 4}, {"mb_per_s": 50}, {"mb_per_s": 200, "workers": 4}),
    ),
    Scenario(
        name="CPU decode, one worker calibrates",
        base=Setting(workers=1, decode_us=800, batch_size=8, compute_us=1000),
        changes=({"workers": 2}, {"workers": 3}, {"workers": 6}, {"decode_us": 2400}, {"batch_size": 24}),
        quick=(0, 2),
    ),
    Scenario(
        name="CPU decode, overloaded calibrates",
        base=Setting(workers=4, decode_us=800, batch_size=8, compute_us=1000),
        changes=({"workers": 1}, {"workers": 2}, {"workers": 8}, {"decode_us": 400}),
        quick=(0,),
    ),
    Scenario(
        name="CPU decode and latency",
        base=Setting(workers=2, read_us=1000, jitter="lognormal:0.5", decode_us=500, batch_size=8, compute_us=2000),
        changes=(
            {"workers": 1}, {"workers": 4}, {"workers": 8}, {"decode_us": 1500}, {"decode_us": 1500, "workers": 6},
        ),
        quick=(2,),
    ),
    Scenario(
        name="big batches: transport",
        base=Setting(workers=2, record_bytes=114688, batch_size=64, compute_us=1000),
        changes=({"workers": 1}, {"workers": 4}, {"batch_size": 16}, {"batch_size": 128}, {"compute_us": 20000}),
        quick=(0,),
    ),
    Scenario(
        name="no workers and back",
        base=Setting(workers=0, read_us=500, batch_size=16, compute_us=4000),
        changes=({"workers": 1}, {"workers": 2}, {"compute_us": 8000}),
    ),
    Scenario(
        name="iterable",
        base=Setting(stream=True, workers=2, read_us=3000, jitter="lognormal:0.5", batch_size=32, compute_us=1000),
        changes=(
            {"workers": 1}, {"workers": 4}, {"workers": 8}, {"prefetch": 1}, {"read_us": 1500}, {"batch_size": 128},
            {"workers": 4, "in_order": False},
        ),
        quick=(1,),
    ),
    Scenario(
        name="plain processes",
        base=Setting(loader="processes", read_us=800, jitter="lognormal:0.5", compute_us=1000),
        changes=({"workers": 4}, {"workers": 8, "prefetch": 4}),
    ),
    Scenario(
        name="spawned workers",
        base=Setting(start_method="spawn", workers=2, read_us=800, decode_us=200, batch_size=16, compute_us=1000),
        changes=({"workers": 1}, {"workers": 4}),
    ),
    Scenario(
        name="forkserver workers",
        base=Setting(start_method="forkserver", workers=2, open_us=800, jitter="lognormal:0.5", compute_us=1000),
        changes=({"workers": 4}, {"open_us": 1600}),
    ),
)  # fmt: skip
"""Each scenario is calibrated on the run of its base alone."""
