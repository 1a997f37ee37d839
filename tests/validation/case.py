"""A real rerun and the run that calibrates its prediction; kept as JSON, so that predictions can be made again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.validation.measure import Measured, PerBatch
from tests.validation.setting import Setting

CASES = "cases.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One rerun."""

    scenario: str
    base: Setting
    """Of the calibration run."""
    setting: Setting
    """Of the rerun; the same again in a control."""
    calibrated: Measured
    measured: Measured

    @property
    def change(self) -> str:
        """What differs, in words; empty in a control."""
        return self.base.unlike(self.setting)


def write_cases(folder: Path, cases: Sequence[Case]) -> None:
    """Keep what was measured beside the run directories."""
    (folder / CASES).write_text(json.dumps([asdict(case) for case in cases], indent=1) + "\n")


def read_cases(folder: Path) -> list[Case]:
    """Return what was kept in a folder."""
    return [_case(row) for row in json.loads((folder / CASES).read_text())]


def _case(row: dict[str, Any]) -> Case:
    return Case(
        scenario=row["scenario"],
        base=Setting(**row["base"]),
        setting=Setting(**row["setting"]),
        calibrated=_measured(row["calibrated"]),
        measured=_measured(row["measured"]),
    )


def _measured(row: dict[str, Any]) -> Measured:
    low, high = row["ci95"]
    return Measured(**row | {"ci95": (low, high), "per_batch": PerBatch(**row["per_batch"])})
