"""For tests of commands: none outlives the test that started it, however that ended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.command import end_commands


@pytest.fixture(autouse=True)
def commands_ended() -> Iterator[None]:
    """End what a failed test left running, or the next one would fail of it too."""
    yield
    end_commands()
