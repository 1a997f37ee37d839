"""A tap on a directory, and what it left in the trace: for tests of readers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ioprof.contract import Workload
from ioprof.store.base import Store
from ioprof.store.local import LocalStore
from ioprof.store.local_tap import tap_store
from ioprof.store.tap import Tap
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.raw import raw_operations, raw_processes, raw_spans
from ioprof.trace.recorder import Recorder
from tests.open_descriptors import open_below


@contextmanager
def tapped(store: Store, trace_dir: Path, *, worker: int = 0) -> Iterator[Tap]:
    """Give a tap that records steady operations; both end with the block."""
    recorder = Recorder(str(trace_dir), rank=0, worker=worker, span_budget=10_000)
    recorder.begin(int(Phase.STEADY), batch=0)
    tap = tap_store(store, recorder)
    try:
        yield tap
    finally:
        tap.close()
        recorder.close()


def counts(trace_dir: Path) -> dict[Kind, int]:
    """Return how many operations of each kind were recorded."""
    found: Counter[Kind] = Counter()
    for row in raw_operations(raw_processes(trace_dir)[0]).to_pylist():
        found[Kind(row["kind"])] += row["count"]
    return dict(found)


def recorded_bytes(trace_dir: Path, kind: Kind) -> int:
    """Return the bytes recorded for a kind."""
    rows = raw_operations(raw_processes(trace_dir)[0]).to_pylist()
    return sum(row["bytes"] for row in rows if row["kind"] == kind)


def errors(trace_dir: Path) -> Counter[tuple[Kind, int]]:
    """Return how often operations failed, by kind and error code."""
    found: Counter[tuple[Kind, int]] = Counter()
    for batch in raw_spans(raw_processes(trace_dir)[0]):
        for row in batch.to_pylist():
            if row["error"]:
                found[Kind(row["kind"]), row["error"]] += 1
    return found


def held_below(folder: Path) -> list[str]:
    """Return the files below a folder that this process has open or mapped."""
    mapped = [line.split()[-1] for line in Path("/proc/self/maps").read_text().splitlines()]
    return [*map(str, open_below(folder)), *(path for path in mapped if path.startswith(f"{folder}/"))]


def stored(workload: Workload, folder: Path) -> LocalStore:
    """Write all objects of a workload into a folder; return it as a store."""
    store, layout = LocalStore(str(folder)), workload.layout()
    for directory in layout.directories():
        store.make_dir(directory)
    for obj, size_bytes in enumerate(layout.sizes(0, layout.count).tolist()):
        store.write(layout.path(obj), bytes(layout.render(obj, size_bytes)), sync=True)
    return store


def content_of(workload: Workload, obj: int) -> bytes:
    """Return what an object holds, computed anew."""
    layout = workload.layout()
    return bytes(layout.render(obj, int(layout.sizes(obj, obj + 1)[0])))
