"""Tables of parameters in a narrow terminal: whatever is there to be typed stands there whole."""

from __future__ import annotations

import pytest

from ioprof.cli.listing import print_run_parameters
from ioprof.plugins import find_workload, list_workloads
from ioprof.spec.flags import raw_spec


@pytest.mark.parametrize("name", [one.name for one in list_workloads() if one.missing is None])
def test_no_flag_and_no_default_is_cut_off_in_80_columns(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long default may go on in the next line, but nothing of it is left out."""
    monkeypatch.setenv("COLUMNS", "80")
    print_run_parameters(raw_spec(name, [], [], []))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if "…" in line]
    for key in find_workload(name).Params.model_fields:
        assert [line for line in lines if line.split()[:1] == [f"--{key.replace('_', '-')}"]]
