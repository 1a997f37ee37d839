"""What a trace in Chrome's format must keep for Perfetto to show it as it is meant; checked event by event."""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

Event = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """One slice, in ns of the trace's clock; `depth` 0 is the outermost."""

    process: int
    track: str
    name: str
    start_ns: int
    end_ns: int
    depth: int
    arguments: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """A trace that kept all rules."""

    slices: list[Slice]
    counters: dict[tuple[int, str], list[tuple[int, float]]]
    """By process and "name series"."""
    flows: list[tuple[Slice, Slice]]
    processes: dict[int, str]
    members: Event
    """What stands beside the events."""

    def on(self, track: str, name: str | None = None) -> list[Slice]:
        """Return the slices of a track, all or those of a name."""
        return [one for one in self.slices if one.track == track and name in (None, one.name)]


def drawn(path: Path) -> Drawn:
    """Read a trace and check it; stamps keep all their digits."""
    data = path.read_bytes()
    members = json.loads(gzip.decompress(data) if path.suffix == ".gz" else data, parse_float=Decimal)
    events = members.pop("traceEvents")
    processes = {e["pid"]: e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "process_name"}
    tracks = {(e["pid"], e["tid"]): e["args"]["name"] for e in events if e["ph"] == "M" and e["name"] == "thread_name"}
    assert len(set(tracks)) == len({thread for _, thread in tracks}), "a track's number is used twice"
    assert {process for process, _ in tracks} <= set(processes), "a track without a named process"
    slices: list[Slice] = []
    open_slices: dict[tuple[int, int], list[Slice]] = defaultdict(list)
    counters: dict[tuple[int, str], list[tuple[int, float]]] = defaultdict(list)
    ends: dict[str, dict[int, Slice]] = {"s": {}, "f": {}}
    last_ns: dict[object, int] = {}
    for event in events:
        if event["ph"] == "M":
            continue
        at_ns = _ns(event["ts"])
        assert at_ns >= 0, event
        if event["ph"] == "C":
            ((series, value),) = event["args"].items()
            key = (event["pid"], f"{event['name']} {series}")
            assert event["pid"] in processes and float(value) == float(value), event
            assert at_ns > last_ns.get(key, -1), ("a counter goes back in time", event)
            last_ns[key] = at_ns
            counters[key].append((at_ns, float(value)))
            continue
        place = (event["pid"], event["tid"])
        assert place in tracks, ("an event on a track without a name", event)
        assert at_ns >= last_ns.get(place, 0), ("a track goes back in time", event)
        last_ns[place] = at_ns
        above = open_slices[place]
        if event["ph"] == "X":
            end_ns = at_ns + _ns(event["dur"])
            assert end_ns >= at_ns, event
            while above and above[-1].end_ns <= at_ns:
                above.pop()
            assert not above or end_ns <= above[-1].end_ns, ("a slice ends behind the one around it", event, above[-1])
            found = Slice(
                process=event["pid"], track=tracks[place], name=event["name"], start_ns=at_ns, end_ns=end_ns,
                depth=len(above), arguments=event.get("args", {}),
            )  # fmt: skip
            above.append(found)
            slices.append(found)
            continue
        assert event["ph"] in ("s", "f"), event
        assert above and above[-1].start_ns == at_ns, ("an arrow that touches no slice", event)
        assert event["id"] not in ends[event["ph"]], ("two arrows of one number", event)
        ends[event["ph"]][event["id"]] = above[-1]
    assert ends["s"].keys() == ends["f"].keys(), "an arrow with one end"
    return Drawn(
        slices=slices,
        counters=dict(counters),
        flows=[(ends["s"][number], ends["f"][number]) for number in ends["s"]],
        processes=processes,
        members=members,
    )


def _ns(microseconds: object) -> int:
    stamp_ns = Decimal(str(microseconds)) * 1000
    assert stamp_ns == int(stamp_ns), microseconds
    return int(stamp_ns)
