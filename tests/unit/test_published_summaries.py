"""Summaries that were published by earlier versions: their keys are public, so what was once written still reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioprof.report.jsonfile import read_summary

PUBLISHED = Path(__file__).parents[2] / "results" / "published"
SUMMARIES = sorted(PUBLISHED.glob("**/summary.json"))


def test_there_are_published_summaries() -> None:
    """Without any, the test below would say nothing."""
    assert len(SUMMARIES) >= 10


@pytest.mark.parametrize("path", SUMMARIES, ids=lambda path: str(path.parent.relative_to(PUBLISHED)))
def test_a_published_summary_reads(path: Path) -> None:
    """Keys that came later have a default."""
    summary = read_summary(path.parent)
    assert summary.steps > 0
    assert summary.workload
