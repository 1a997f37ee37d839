"""The loader `null`: batches without content, numbered through, that stop when asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioprof.plugins import find_loader
from tests.small_dataset import local_dataset

NULL = find_loader("null")


@pytest.mark.parametrize(("drop_last", "sizes"), [(True, [8] * 6), (False, [8] * 6 + [2])])
def test_batches_are_counted_as_a_loader_would(
    drop_last: bool, sizes: list[int], tmp_path: Path, trace_dir: Path
) -> None:
    """50 samples by 8, with or without the last two; numbers go on from epoch to epoch."""
    session = NULL(NULL.Params()).open(local_dataset(tmp_path).job(trace_dir, drop_last=drop_last))
    batches = [batch for epoch in (0, 1) for batch in session.batches(epoch)]
    assert [batch.samples for batch in batches] == sizes * 2
    assert [batch.number for batch in batches] == list(range(2 * len(sizes)))
    assert session.process_ids() == []
    session.close()
    session.close()
    assert list(trace_dir.iterdir()) == []


def test_it_stops_when_it_is_asked_to(tmp_path: Path, trace_dir: Path) -> None:
    """Before the next batch, not after the epoch."""
    seen: list[int] = []
    job = local_dataset(tmp_path).job(trace_dir, stop_requested=lambda: len(seen) >= 2)
    for batch in NULL(NULL.Params()).open(job).batches(0):
        seen.append(batch.number)
    assert seen == [0, 1]
