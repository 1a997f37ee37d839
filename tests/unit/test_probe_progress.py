"""The rate of a level from what its processes noted, on clocks that are made up."""

from __future__ import annotations

import numpy as np
import pytest

from ioprof.probe.board import Board, Word, Words
from ioprof.probe.progress import progress

WINDOW_NS = 250_000_000


def noted(sample_s: float, at_s: float, *, per_note: int = 1, hangs_from_s: float = 1e9) -> list[int]:
    """Return the row of a process that notes ``per_note`` samples at a time, ``sample_s`` each."""
    row = [0] * len(Word)
    notes = int(min(at_s, hangs_from_s) / (sample_s * per_note) + 1e-9)
    row[Word.NOTES], row[Word.SAMPLES] = notes, notes * per_note
    row[Word.NOTED_NS] = round(notes * per_note * sample_s * 1e9)
    return row


def snapshots(first_s: float, last_s: float, *processes: dict[str, float]) -> list[Words]:
    """Return what a board shows at every border of windows."""
    moments = np.arange(first_s, last_s + 1e-9, WINDOW_NS / 1e9)
    return [np.array([noted(at_s=at_s, **process) for process in processes]) for at_s in moments]


@pytest.mark.parametrize("sample_s", [0.0001, 0.05, 0.3, 0.6, 0.9, 1.3])
@pytest.mark.parametrize("last_s", [4.0, 4.75])
def test_samples_of_equal_length_have_their_true_rate(sample_s: float, last_s: float) -> None:
    """Wherever the windows begin and end between two of them, and however many there are in one."""
    found = progress(snapshots(1.5, last_s, *[{"sample_s": sample_s}] * 4), round(last_s * 1e9), WINDOW_NS)
    assert found is not None
    assert found.samples_per_s == pytest.approx(4 / sample_s)
    assert found.window_rates == pytest.approx([4 / sample_s] * len(found.window_rates))
    assert found.seconds / len(found.window_rates) >= 0.65 * sample_s


def test_processes_of_different_speed_add_up() -> None:
    """Each has the rate of its own samples, and notes as many at once as it likes."""
    rows = snapshots(1.0, 3.0, {"sample_s": 0.7}, {"sample_s": 0.01}, {"sample_s": 0.001, "per_note": 64})
    found = progress(rows, 3_000_000_000, WINDOW_NS)
    assert found is not None
    assert found.samples_per_s == pytest.approx(1 / 0.7 + 100 + 1000)


def test_a_process_that_hangs_makes_no_progress() -> None:
    """It is not taken to have gone on as before; one sample is all that it may be about to end."""
    found = progress(snapshots(1.0, 3.0, {"sample_s": 0.01, "hangs_from_s": 2.0}), 3_000_000_000, WINDOW_NS)
    assert found is not None
    assert found.done[Word.SAMPLES] == pytest.approx(101, abs=1)


def test_one_sample_of_a_process_is_no_rate() -> None:
    """How long its next one takes is not known."""
    assert progress(snapshots(1.5, 3.0, {"sample_s": 0.01}, {"sample_s": 1.4}), 3_000_000_000, WINDOW_NS) is None


def test_a_snapshot_is_what_was_published() -> None:
    """What a process is about to write is not seen before it says so; the counts of others stay apart."""
    board = Board(2)
    board.rows[1, Word.SAMPLES] = 5
    board.publish(1)
    board.rows[1, Word.SAMPLES] = 7
    assert board.snapshot()[:, Word.SAMPLES].tolist() == [0, 5]
    board.publish(1)
    assert board.snapshot()[:, Word.SAMPLES].tolist() == [0, 7]
    assert not board.histograms.any()
