"""Warnings while a run is recorded: a loader's caveats go into the report, the others go where they always go."""

from __future__ import annotations

import warnings

import pytest

from ioprof.errors import CaveatWarning
from ioprof.runner.caveat_warnings import heard


def test_caveats_are_heard_and_other_warnings_pass(recwarn: pytest.WarningsRecorder) -> None:
    """Each caveat, however often its line has warned before; the loader's filters end with the block."""
    caveats: list[str] = []
    warnings.simplefilter("always")
    before = list(warnings.filters)
    with heard(caveats.append):
        warnings.filterwarnings("ignore", "noise")
        for number in range(2):
            warnings.warn(f"caveat {number}", CaveatWarning, stacklevel=1)
        warnings.warn("noise", UserWarning, stacklevel=1)
        warnings.warn("other", UserWarning, stacklevel=1)
    assert caveats == ["caveat 0", "caveat 1"]
    assert [str(one.message) for one in recwarn] == ["other"]
    assert list(warnings.filters) == before
