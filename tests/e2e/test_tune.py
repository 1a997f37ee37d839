"""`ioprof tune` with a signal in the middle."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.driver import ioprof, leftovers, signalled, start, wait_for
from tests.shared_memory import segments, segments_left


def runs_of(folder: Path) -> list[Path]:
    """Return what the steps of runs that go on are written to, once there is a finished run beside them."""
    written = list((folder / "results").glob("*-tune-*/tune.json"))
    finished = bool(written) and len(json.loads(written[0].read_text())["runs"]) >= 1
    return list((folder / "results").glob("*-tune-*/*/trace/steps-0.log")) if finished else []


@pytest.mark.alone
def test_ctrl_c_shows_what_is_known_and_keeps_it(tmp_path: Path) -> None:
    """One setting is measured, the next is being measured: the answer is of the first, the exit code 130."""
    before = segments()
    words = ["--files", "400", "--file-size", "4KiB", "--batch-size", "16", "--compute", "5ms", "--cache", "asis"]
    process = start("tune", "small-files", *words, "--duration", "1500ms", cwd=tmp_path)
    wait_for(lambda: bool(runs_of(tmp_path)))
    returncode, out, err = signalled(process, signal.SIGINT, group=True)
    assert (returncode, out, "Traceback" in err) == (130, "", False), err
    assert "partial tuning kept" in err
    assert "the answer is of what was measured until then" in " ".join(err.split())
    (folder,) = (tmp_path / "results").glob("*-tune-*")
    record = json.loads((folder / "tune.json").read_text())
    assert (record["outcome"], record["chosen"]["setting"]) == ("interrupted", record["runs"][0]["setting"])
    shown = ioprof("report", str(folder), cwd=tmp_path)
    assert (shown.returncode, "Interrupted: SIGINT received" in shown.stdout) == (0, True), shown.stderr
    wait_for(lambda: not leftovers(tmp_path), timeout_s=10)
    assert not segments_left(before)
