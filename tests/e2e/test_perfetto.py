"""torch's profiler and a watched loader in one program: both traces on one clock."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ioprof.report.perfetto.export import export
from ioprof.report.perfetto.selection import WHOLE
from ioprof.trace.reader import load_trace

PROGRAM = """
import json, time, torch, ioprof
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils.data import DataLoader, TensorDataset

loader = DataLoader(TensorDataset(torch.ones(160, 64)), batch_size=8, num_workers=1)
marks = []
with profile(activities=[ProfilerActivity.CPU]) as profiled, ioprof.watch(loader, results="results") as watched:
    for number, (batch,) in enumerate(watched):
        before_ns = time.perf_counter_ns()
        with record_function(f"train {number}"):
            (batch @ torch.ones(64, 64)).sum()
        marks.append((before_ns, time.perf_counter_ns()))
profiled.export_chrome_trace("torch_trace.json")
json.dump(marks, open("marks.json", "w"))
"""
_SLACK_NS = 20_000
"""What the profiler may be off by, which turns CPU ticks into time by itself."""


def test_what_torch_profiles_lies_where_the_run_says_it_happened(tmp_path: Path) -> None:
    """Each profiled block lies between the run clock's stamps around it, and within that step's busy time."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    trace = load_trace(next((tmp_path / "results").iterdir()))
    told = export(trace, tmp_path / "both.json.gz", WHOLE, tmp_path / "torch_trace.json")
    assert told.clock_error_ns is not None and told.merged_events
    export(trace, tmp_path / "both.json", WHOLE, tmp_path / "torch_trace.json")
    both = json.loads((tmp_path / "both.json").read_text())
    base_ns, offset_ns = int(both["baseTimeNanoseconds"]), int(str(trace.run.clock["wall_offset_ns"]))
    events = [event for event in both["traceEvents"] if event["ph"] == "X"]
    busy = {event["args"]["step"]: event for event in events if event["name"] == "busy"}
    blocks = {int(event["name"].split()[1]): event for event in events if event["name"].startswith("train ")}
    marks = json.loads((tmp_path / "marks.json").read_text())
    assert len(blocks) == len(busy) == len(marks) == 20
    slack_ns = _SLACK_NS + told.clock_error_ns
    for step, (before_ns, after_ns) in enumerate(marks):
        start_ns = base_ns + round(blocks[step]["ts"] * 1000) - offset_ns
        assert before_ns - slack_ns <= start_ns
        assert start_ns + round(blocks[step]["dur"] * 1000) <= after_ns + slack_ns
        assert busy[step]["ts"] - slack_ns / 1000 <= blocks[step]["ts"]
        assert blocks[step]["ts"] + blocks[step]["dur"] <= busy[step]["ts"] + busy[step]["dur"] + slack_ns / 1000
