"""Open loop: each request is issued at its time, whatever became of those before it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ioprof.replay.accesses import Accesses
from ioprof.trace.kinds import Kind

MOST_PROCESSES = 64
_PER_LANE = 4
SLOT_NS = 500_000
"""What a worker began within so much of each other stays together: to part it would cost more than it is late."""


def processes_per_lane(lanes: int) -> int:
    """Return how many processes take turns for each lane."""
    return max(1, min(_PER_LANE, MOST_PROCESSES // max(1, lanes)))


def spread(accesses: Accesses, processes_per_lane: int) -> Accesses:
    """Deal the accesses of each lane out to several processes, so that a slow one does not delay those that follow.

    What is done with an object from its opening to its closing stays together, and so do accesses of the same moment;
    lane L becomes the processes from
    L x ``processes_per_lane`` on.

    Args:
        accesses: sorted by lane and start.
        processes_per_lane: how many take turns.
    """
    turns = np.zeros(len(accesses), dtype=np.int64)
    open_turn: dict[tuple[int, int], int] = {}
    turn_now, slot_end_ns, lane_now = 0, 0, -1
    columns = (accesses.lane.tolist(), accesses.kind.tolist(), accesses.object.tolist(), accesses.start_ns.tolist())
    for place, (lane, kind, obj, start_ns) in enumerate(zip(*columns, strict=True)):
        turn = open_turn.get((lane, obj), -1)
        if turn < 0:
            if lane != lane_now or start_ns >= slot_end_ns:
                turn_now = 0 if lane != lane_now else (turn_now + 1) % processes_per_lane
                lane_now, slot_end_ns = lane, start_ns + SLOT_NS
            turn = turn_now
            if kind == Kind.OPEN:
                open_turn[lane, obj] = turn
        elif kind == Kind.CLOSE:
            del open_turn[lane, obj]
        turns[place] = turn
    dealt = replace(accesses, lane=accesses.lane * processes_per_lane + turns)
    return dealt.where(np.lexsort((dealt.start_ns, dealt.lane)))
