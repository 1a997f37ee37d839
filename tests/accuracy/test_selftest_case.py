"""A small part of `ioprof selftest`, as far as it does not depend on how busy the host is."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioprof import api
from ioprof.selftest.cases import MS, Case
from ioprof.selftest.judge import rows_of

CASE = Case(
    name="one", workers=2, steps=6, batch_size=4, open_ns=MS, read_ns=2 * MS, decode_ns=MS // 2, compute_ns=MS
)  # fmt: skip


@pytest.mark.usefixtures("nothing_left")
def test_a_case_is_measured_through_the_real_runner(tmp_path: Path) -> None:
    """Causes of idle time add up; no operation was shorter than asked, or than the throttle says it was."""
    rows = {row.figure: row for row in rows_of(CASE, api.run(CASE.sections(tmp_path)))}
    assert rows["idle, sum of causes"].passed
    for figure in ("open mean", "read mean"):
        row = rows[figure]
        assert row.given is not None
        assert row.measured is not None
        assert row.asked <= row.given <= row.measured
    assert rows["utilisation"].asked == pytest.approx(2 * 1 / (4 * 3.5))
    assert rows["idle, share of prep"].asked == pytest.approx(0.5 / 3.5)
    assert {"samples/s", "busy per batch", "decode mean", "idle, share of storage"} <= set(rows)
