"""Whatever is done with files, the taps change nothing of what comes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BATTERY = Path(__file__).with_name("capture_battery.py")


def _found(folder: Path, reads: str, *, tapped: bool) -> dict[str, list[str]]:
    """Run the battery in a folder of its own."""
    for name in ("files", "trace"):
        (folder / name).mkdir(parents=True)
    command = [sys.executable, str(BATTERY), str(folder / "files"), *([str(folder / "trace")] if tapped else [])]
    environment = os.environ | {"IOPROF_READS": reads}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """What comes of the battery without taps."""
    return _found(tmp_path_factory.mktemp("bare"), "", tapped=False)


@pytest.mark.parametrize("reads", ["compiled", "python"])
def test_values_errors_and_warnings_are_the_same_with_taps_and_without(
    reads: str, bare: dict[str, list[str]], tmp_path: Path
) -> None:
    """Over a hundred calls: what they return, how they fail, what they warn of; again once the taps are gone."""
    tapped = _found(tmp_path, reads, tapped=True)
    assert len(bare) > 120
    assert {name: tapped[name] for name in bare if tapped[name] != bare[name]} == {}
