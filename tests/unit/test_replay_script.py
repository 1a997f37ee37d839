"""From the operations of a run to what each process repeats, and when."""

from __future__ import annotations

import numpy as np
import pytest

from ioprof.errors import RunError
from ioprof.replay.accesses import UNKNOWN, Accesses, recorded
from ioprof.replay.lanes import lanes_of
from ioprof.replay.script import WHOLE, scripts
from ioprof.replay.spread import processes_per_lane, spread
from ioprof.trace.kinds import Kind
from tests.unit.trace_builder import make_trace

SIZE = 4096
Row = dict[str, object]


class Sizes:
    """All objects are equally large."""

    def of(self, objects: list[int]) -> list[int]:
        """Return it as often as asked."""
        return [SIZE] * len(objects)


def _row(kind: Kind, start: int, took: int, obj: int, *, worker: int = 0, batch: int = 0, **more: object) -> Row:
    size = SIZE if kind in (Kind.READ, Kind.GET) else 0
    given: Row = {
        "rank": 0, "worker": worker, "batch": batch, "kind": int(kind), "start_ns": start, "duration_ns": took,
        "bytes": size, "object": obj, "client_hit": None, "error": 0, "offset": None, "direct": None,
    }  # fmt: skip
    return given | more


def _object(start: int, obj: int, *, gap: int = 0, **more: object) -> list[Row]:
    """Open for 10, read for 100, close for 5, and ``gap`` between them."""
    read, close = start + 10 + gap, start + 110 + 2 * gap
    return [
        _row(Kind.OPEN, start, 10, obj, **more),
        _row(Kind.READ, read, 100, obj, **{"offset": 0, **more}),
        _row(Kind.CLOSE, close, 5, obj, **more),
    ]


def _accesses(rows: list[Row]) -> Accesses:
    return recorded(make_trace(spans=rows)).loading


def test_a_worker_that_does_one_thing_after_the_other_is_one_lane() -> None:
    """Whatever its rank: each worker has a lane of its own."""
    rows = [*_object(0, 1), *_object(200, 2), *_object(100, 3, worker=1), *_object(0, 4, rank=1)]
    columns = {
        name: np.array([row[name] for row in rows], dtype=np.int64)
        for name in ("rank", "worker", "start_ns", "duration_ns", "object")
    }
    lane, lanes = lanes_of(columns)
    assert lanes == 3
    assert lane.tolist() == [0] * 6 + [1] * 3 + [2] * 3


def test_operations_in_flight_at_once_are_lanes_of_their_own_and_a_file_stays_where_it_was_opened() -> None:
    """Two threads of one worker, each with its file."""
    far = 1_000_000
    rows = [
        _row(Kind.OPEN, 0, far, 7), _row(Kind.OPEN, far // 2, far, 8),
        _row(Kind.READ, 2 * far, far, 8, offset=0), _row(Kind.READ, 2 * far + far // 2, far, 7, offset=0),
    ]  # fmt: skip
    found = recorded(make_trace(spans=rows))
    assert found.lanes == 2
    lanes = dict(zip(found.loading.object.tolist(), found.loading.lane.tolist(), strict=True))
    assert sorted(lanes.values()) == [0, 1]
    assert len(set(zip(found.loading.object.tolist(), found.loading.lane.tolist(), strict=True))) == 2


def test_an_object_that_is_read_whole_without_a_pause_is_one_unit() -> None:
    """Its time is that of its opening; the pause before the next is from its closing."""
    (script,) = scripts(_accesses([*_object(1000, 1), *_object(1115, 2), *_object(2000, 3)]), Sizes(), {})
    assert script.what.tolist() == [WHOLE] * 3
    assert script.start_ns.tolist() == [1000, 1115, 2000]
    assert script.think_ns.tolist() == [0, 0, 2000 - 1115 - 115]
    assert script.size_bytes.tolist() == [SIZE] * 3


@pytest.mark.parametrize(
    "change",
    [{"gap": 500}, {"offset": 1, "bytes": SIZE - 1}, {"bytes": SIZE // 2}, {"direct": True}],
    ids=["pauses between", "from the second byte", "half of it", "around the page cache"],
)
def test_an_object_that_is_read_otherwise_is_repeated_call_by_call(change: dict[str, object]) -> None:
    """What was between the calls stays between them."""
    rows = _object(0, 1, **change)
    (script,) = scripts(_accesses(rows), Sizes(), {})
    assert script.what.tolist() == [Kind.OPEN, Kind.READ, Kind.CLOSE]


def test_what_writes_is_left_out_with_all_that_was_done_to_its_objects() -> None:
    """A stand-in is only read; failed operations, checkpoints and decoding are no accesses to repeat either."""
    rows = [
        *_object(0, 1), *_object(200, 2), _row(Kind.WRITE, 320, 5, 2), _row(Kind.STAT, 400, 1, 1, error=2),
        _row(Kind.READ, 500, 5, 3, batch=-2), _row(Kind.DECODE, 600, 50, 1),
    ]  # fmt: skip
    found = recorded(make_trace(spans=rows))
    assert found.loading.object.tolist() == [1, 1, 1]
    assert found.left_out == {
        "of checkpoints": 1,
        "failed when they were recorded": 1,
        "write or change names": 4,
    }


def test_a_run_with_nothing_to_repeat_says_what_it_had() -> None:
    """Only writes, or nothing at all."""
    with pytest.raises(RunError, match=r"no operation of the run can be repeated \(1 write or change names\)"):
        recorded(make_trace(spans=[_row(Kind.WRITE, 0, 5, 2)]))
    with pytest.raises(RunError, match="none of its storage operations was traced"):
        recorded(make_trace())


def test_looking_for_samples_is_apart_from_loading_them() -> None:
    """The consumer lists before the loader is opened."""
    rows = [_row(Kind.LIST, 0, 5, -1, worker=-2, batch=-1), *_object(100, 1)]
    found = recorded(make_trace(spans=rows))
    assert (len(found.discovery), len(found.loading), found.lanes) == (1, 3, 1)


def test_offsets_that_were_not_recorded_are_told() -> None:
    """Runs from before they were kept."""
    assert recorded(make_trace(spans=_object(0, 1))).offsets_known
    old = recorded(make_trace(spans=_object(0, 1, offset=None)))
    assert not old.offsets_known
    assert old.loading.offset.tolist() == [UNKNOWN] * 3


def test_in_an_open_loop_processes_take_turns_and_a_file_stays_with_one() -> None:
    """A slow request does not hold up those that were issued after it."""
    rows = [row for obj in range(1, 5) for row in _object(obj * 1_000_000, obj)]
    rows += [*_object(4_000_200, 5), *_object(4_400_000, 6)]
    dealt = spread(_accesses(rows), 3)
    turns = dict(zip(dealt.object.tolist(), dealt.lane.tolist(), strict=True))
    assert turns == {1: 0, 2: 1, 3: 2, 4: 0, 5: 0, 6: 0}, "what is of the same half millisecond stays together"
    assert len(set(zip(dealt.object.tolist(), dealt.lane.tolist(), strict=True))) == 6
    assert [processes_per_lane(lanes) for lanes in (1, 4, 16, 32, 64, 500)] == [4, 4, 4, 2, 1, 1]


def test_a_lane_that_waited_to_be_asked_is_told_from_one_that_paused() -> None:
    """By when its next batch was dispatched: before it had ended the last one, or after."""
    rows = [*_object(0, 1, batch=0), *_object(1000, 2, batch=1), *_object(2000, 3, batch=2), *_object(3000, 4, batch=3)]
    (script,) = scripts(_accesses(rows), Sizes(), {0: 500, 1: 900, 2: 1100})
    assert script.was_idle.tolist() == [False, True, False, False]


def test_operations_of_unknown_objects_belong_to_what_their_worker_has_open() -> None:
    """Each opening is another object; a file inside another's reading, and one that was open before, are told apart."""
    rows = [
        _row(Kind.READ, 0, 1, -1), *_object(100, -1), _row(Kind.OPEN, 500, 1, -1), *_object(600, -1),
        _row(Kind.READ, 900, 1, -1), _row(Kind.CLOSE, 950, 1, -1), *_object(100, -1, worker=1),
        _row(Kind.STAT, 990, 1, -1),
    ]  # fmt: skip
    found = recorded(make_trace(spans=rows))
    assert found.openings == 5
    columns = (found.loading.lane.tolist(), found.loading.start_ns.tolist(), found.loading.object.tolist())
    by_start = sorted(zip(*columns, strict=True))
    assert [obj for lane, _, obj in by_start if lane == 0] == [0, 1, 1, 1, 2, 3, 3, 3, 2, 2, -1]
    assert [obj for lane, _, obj in by_start if lane == 1] == [4, 4, 4]
