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
        base=Setting(workers=2, open_us=1000, read_us=3000, batch_size=8, compute_us=8000),
        changes=(
            {"workers": 1}, {"workers": 4}, {"workers": 8}, {"batch_size": 24}, {"workers": 4, "prefetch": 1},
            {"open_us": 2000, "read_us": 6000}, {"open_us": 500, "read_us": 1500}, {"compute_us": 25000},
        ),
        quick=(1, 5),
    ),
    Scenario(
        name="latency, jittered",
        base=Setting(workers=2, open_us=500, read_us=1500, jitter="lognormal:0.6", batch_size=8, compute_us=4000),
        changes=(
            {"workers": 4}, {"workers": 8}, {"prefetch": 1}, {"workers": 4, "prefetch": 8}, {"batch_size": 4},
            {"workers": 4, "in_order": False}, {"open_us": 2000}, {"open_us": 2000, "read_us": 6000, "workers": 8},
        ),
        quick=(1, 5),
    ),
    Scenario(
        name="one sample per batch, uneven",
        base=Setting(workers=3, read_us=15000, jitter="lognormal:0.6", batch_size=1, compute_us=4000),
        changes=({"workers": 6}, {"workers": 6, "prefetch": 8}, {"workers": 6, "in_order": False}, {"workers": 1}),
    ),
    Scenario(
        name="accelerator, starving to full",
        base=Setting(workers=2, read_us=2000, jitter="lognormal:0.5", batch_size=8, compute_us=8000),
        changes=(
            {"compute_us": 3000}, {"compute_us": 12000}, {"compute_us": 30000}, {"workers": 4},
            {"compute_us": 5000, "workers": 6},
        ),
        quick=(1,),
    ),
    Scenario(
        name="small steps",
        base=Setting(workers=2, open_us=400, read_us=800, batch_size=16, compute_us=2000),
        changes=({"workers": 4}, {"workers": 8}, {"batch_size": 4}),
    ),
    Scenario(
        name="shared queue: operations per second",
        base=Setting(workers=2, iops=500, read_us=2000, batch_size=8, compute_us=4000),
        changes=({"workers": 1}, {"workers": 4}, {"iops": 250}, {"iops": 1000, "workers": 4}),
        quick=(1,),
    ),
    Scenario(
        name="shared queue: bandwidth",
        base=Setting(workers=2, mb_per_s=50, read_us=1000, record_bytes=114688, batch_size=8, compute_us=4000),
        changes=({"workers": 1}, {"workers": 4}, {"mb_per_s": 25}, {"mb_per_s": 100, "workers": 4}),
    ),
    Scenario(
        name="CPU decode, one worker calibrates",
        base=Setting(workers=1, decode_us=1000, batch_size=8, compute_us=2000),
        changes=({"workers": 2}, {"workers": 3}, {"workers": 6}, {"decode_us": 3000}, {"batch_size": 24}),
        quick=(0, 2),
    ),
    Scenario(
        name="CPU decode, overloaded calibrates",
        base=Setting(workers=4, decode_us=1000, batch_size=8, compute_us=2000),
        changes=({"workers": 1}, {"workers": 2}, {"workers": 8}, {"decode_us": 500}),
        quick=(0,),
    ),
    Scenario(
        name="CPU decode and latency",
        base=Setting(workers=2, read_us=3000, jitter="lognormal:0.5", decode_us=1000, batch_size=8, compute_us=5000),
        changes=(
            {"workers": 1}, {"workers": 4}, {"workers": 8}, {"decode_us": 3000}, {"decode_us": 3000, "workers": 6},
        ),
        quick=(2,),
    ),
    Scenario(
        name="big batches: transport",
        base=Setting(workers=2, record_bytes=114688, batch_size=64, compute_us=4000),
        changes=({"workers": 1}, {"workers": 4}, {"batch_size": 16}, {"batch_size": 128}, {"compute_us": 40000}),
        quick=(0,),
    ),
    Scenario(
        name="no workers and back",
        base=Setting(workers=0, read_us=2000, batch_size=8, compute_us=8000),
        changes=({"workers": 1}, {"workers": 2}, {"compute_us": 16000}),
    ),
    Scenario(
        name="iterable",
        base=Setting(stream=True, workers=2, read_us=8000, jitter="lognormal:0.5", batch_size=32, compute_us=4000),
        changes=(
            {"workers": 1}, {"workers": 4}, {"workers": 8}, {"prefetch": 1}, {"read_us": 4000}, {"batch_size": 128},
            {"workers": 4, "in_order": False},
        ),
        quick=(1,),
    ),
    Scenario(
        name="plain processes",
        base=Setting(loader="processes", read_us=2000, jitter="lognormal:0.5", batch_size=8, compute_us=2000),
        changes=({"workers": 4}, {"workers": 8, "prefetch": 4}),
    ),
    Scenario(
        name="spawned workers",
        base=Setting(start_method="spawn", workers=2, read_us=2000, decode_us=500, batch_size=8, compute_us=4000),
        changes=({"workers": 1}, {"workers": 4}),
    ),
    Scenario(
        name="forkserver workers",
        base=Setting(start_method="forkserver", open_us=2000, jitter="lognormal:0.5", batch_size=8, compute_us=4000),
        changes=({"workers": 4}, {"open_us": 4000}),
    ),
)  # fmt: skip
"""Each scenario is calibrated on the run of its base alone."""
