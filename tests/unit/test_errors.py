"""The tree of errors, its exit codes, and the offer of the nearest name."""

from __future__ import annotations

import re

import pytest

from ioprof import errors
from ioprof.errors import IoprofError, nearest


def _drawn() -> list[tuple[int, str, int]]:
    """Return depth, name and exit code of every error in the drawing at the top of the module."""
    lines = re.findall(r"^    ([ |+-]*)([A-Z]\w+) +(\d) ", errors.__doc__ or "", flags=re.MULTILINE)
    return [(len(indent) // 4, name, int(code)) for indent, name, code in lines]


def test_the_tree_at_the_top_of_the_module_is_the_tree_of_classes() -> None:
    """Every error stands in the drawing, below its parent, with the exit code that it has."""
    drawn = _drawn()
    parents: dict[int, str] = {}
    for depth, name, code in drawn:
        found = getattr(errors, name)
        parents[depth] = name
        assert found.exit_code == code, name
        assert found.__base__.__name__ == (parents[depth - 1] if depth else "Exception"), name
    defined = {
        name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, IoprofError)
    }
    assert defined == {name for _, name, _ in drawn}


@pytest.mark.parametrize(("typed", "meant"), [("wokers", "workers"), ("h1000", "h100"), ("smal-files", "small-files")])
def test_a_slip_of_the_finger_is_recognised(typed: str, meant: str) -> None:
    """The nearest known name is offered as a question."""
    assert nearest(typed, ["workers", "h100", "small-files", "prefetch"]) == f"; did you mean '{meant}'?"


def test_nothing_is_offered_for_what_resembles_nothing() -> None:
    """A far-fetched offer would mislead."""
    assert nearest("xyzzy", ["workers", "prefetch"]) == ""
