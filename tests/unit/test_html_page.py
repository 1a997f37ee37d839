"""The page: one file that fetches nothing, believes nobody, and shows what summary.json holds."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ioprof.analysis.summarise import summarise
from ioprof.errors import RunDirectoryError
from ioprof.report.html.latency import coarse
from ioprof.report.html.page import page
from ioprof.report.html.run_page import SECTIONS, run_page, write_page
from ioprof.report.html.section import Chart, Command, Folded, Number, Section, Table, Text
from ioprof.trace.histogram import bucket_of
from ioprof.trace.kinds import Kind
from ioprof.trace.probe_record import LevelRecord, ProbeRecord
from ioprof.trace.trace import Trace
from tests.unit.trace_builder import MS, Pipeline, make_trace, operation_row, run_record

EVIL = '</script><img src=x onerror="alert(1)">&<b>'
VOID = {"meta", "br", "img", "link", "input"}


class Parsed(HTMLParser):
    """What a browser makes of a page, as far as it matters here."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[str | None, str]] = []
        self.numbers: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep the tag, and what it opens."""
        found = dict(attrs)
        self.tags.append((tag, found))
        if tag not in VOID:
            self.open.append(tag)
        if tag == "script":
            self.scripts.append((found.get("type"), ""))
        if tag == "data":
            self.numbers[str(found["data-key"])] = str(found["value"])

    def handle_endtag(self, tag: str) -> None:
        """Close what was opened last, and nothing else."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep the text of scripts."""
        if self.open and self.open[-1] == "script":
            kind, text = self.scripts[-1]
            self.scripts[-1] = (kind, text + data)


def _trace(**changes: object) -> Trace:
    pipeline = Pipeline(fetch=[20 * MS + place * MS for place in range(60)], prep=[2 * MS] * 60, compute=[10 * MS] * 60)
    steps, batches = pipeline.rows()
    operations = [operation_row(Kind.READ, [MS, 2 * MS, 40 * MS], size=4096), operation_row(Kind.OPEN, [1000] * 7)]
    return make_trace(run_record(**changes), steps=steps, batches=batches, operations=operations)  # type: ignore[arg-type]


def test_the_page_holds_every_section_in_its_order_and_closes_what_it_opens() -> None:
    """Headings in the order of the questions; well-formed to the end."""
    trace = _trace()
    found = Parsed(run_page(trace, summarise(trace)))
    assert found.open == []
    ids = [facts["id"] for tag, facts in found.tags if tag == "section"]
    assert ids == ["verdict", "idle", "roofline", "timeline", "latency", "over-time", "store", "findings", "facts"]
    assert len(ids) == len(SECTIONS)


def test_what_is_shown_as_a_number_is_the_value_of_its_key_in_summary_json() -> None:
    """Every marked number, looked up by its dotted key."""
    trace = _trace()
    summary = summarise(trace)
    shown = Parsed(run_page(trace, summary)).numbers
    content = json.loads(summary.to_json())
    assert {
        "accelerator_utilization",
        "samples_per_s",
        "operations.read.latency_ns.p99",
        "idle_by_cause.read",
    } & shown.keys()
    for key, value in shown.items():
        there = content
        for part in key.split("."):
            there = there[part]
        assert float(value) == there, key


def test_nothing_is_fetched_and_only_the_pages_own_scripts_may_run() -> None:
    """No address in any attribute that loads something, and a policy of hashes that fit."""
    trace = _trace()
    found = Parsed(run_page(trace, summarise(trace)))
    loading = [
        (tag, facts)
        for tag, facts in found.tags
        if {"src", "srcset", "data", "action"} & facts.keys() or tag in ("link", "img")
    ]
    assert loading == []
    assert all(str(facts["href"]).startswith("#") for tag, facts in found.tags if tag == "a")
    policy = next(
        str(facts["content"]) for tag, facts in found.tags if facts.get("http-equiv") == "Content-Security-Policy"
    )
    hashes = set(re.findall(r"'sha256-([^']+)'", policy))
    running = [text for kind, text in found.scripts if kind is None]
    assert {base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in running} == hashes
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split(";")[1] and "unsafe-eval" not in policy


def test_what_users_write_is_text_and_never_markup() -> None:
    """Labels, workloads, store addresses, reasons and commands that try to end a script or begin a tag."""
    record = run_record(
        label=EVIL, command=["ioprof", "run", EVIL], store={"url": EVIL, EVIL: EVIL}, outcome="failed", reason=EVIL
    )
    record = record.model_copy(
        update={"workload": record.workload.model_copy(update={"name": EVIL}), "caveats": [EVIL]}
    )
    trace = _trace(
        **{
            name: getattr(record, name)
            for name in ("label", "command", "store", "outcome", "reason", "workload", "caveats")
        }
    )
    text = run_page(trace, summarise(trace))
    assert EVIL not in text
    found = Parsed(text)
    assert found.open == []
    assert not [tag for tag, _ in found.tags if tag in ("img", "b")]


def test_a_charts_data_cannot_end_the_script_it_stands_in() -> None:
    """Names of series come from users too."""
    chart = Chart(
        id="x", title=EVIL, traces=({"name": EVIL, "x": [1], "y": [2]},), layout={}, summary=EVIL,
        table=Table(header=("a",), rows=((EVIL,),), caption=EVIL),
    )  # fmt: skip
    blocks = (chart, Text(text=EVIL), Command(line=EVIL, told=EVIL), Folded(title=EVIL, blocks=(Text(text=EVIL),)))
    text = page(EVIL, EVIL, [Section(id="a", title=EVIL, blocks=blocks)])
    found = Parsed(text)
    (data,) = [text for kind, text in found.scripts if kind == "application/json"]
    assert json.loads(data)["data"][0]["name"] == EVIL
    assert EVIL not in text


def test_a_page_without_charts_is_small() -> None:
    """The drawing library is part of pages that draw."""
    text = page("t", "s", [Section(id="a", title="A", blocks=(Text(text="words"),))])
    assert len(text) < 20_000


def test_every_chart_has_a_sentence_and_a_table_beside_it() -> None:
    """For those who cannot see it, and for those who want the numbers."""
    trace = _trace()
    summary = summarise(trace)
    charts = [block for section in SECTIONS for block in section(trace, summary).blocks if isinstance(block, Chart)]
    assert {chart.id for chart in charts} >= {"idle-by-cause", "steps", "lanes", "latency-by-kind", "series"}
    for chart in charts:
        assert chart.summary.endswith(".") and chart.table.rows, chart.id
        assert all(len(row) == len(chart.table.header) for row in chart.table.rows), chart.id
        json.dumps([chart.traces, chart.layout], allow_nan=False)


@pytest.mark.parametrize("trace", [make_trace(), _trace(busy_ns=None)], ids=["no step", "no accelerator"])
def test_what_is_missing_is_told_in_its_place(trace: Trace) -> None:
    """A run without steps, and one without an accelerator, have the same page with reasons in it."""
    found = Parsed(run_page(trace, summarise(trace)))
    assert found.open == []
    assert len([tag for tag, _ in found.tags if tag == "section"]) == len(SECTIONS)


def test_the_curve_of_the_store_has_a_point_for_each_level() -> None:
    """Measured with intervals, and no fit where none was made."""
    levels = [
        LevelRecord(
            processes=count, seconds=1.0, samples=100, samples_per_s=100.0 * count,
            samples_per_s_ci95=(90.0 * count, 110.0 * count), bytes_per_s=1e6,
            operations_per_s=300.0, window_s=0.25, window_samples_per_s=[], ended="precise",
            latency=None, operations={}, on_cpu_ratio=0.1, host_cpu_ratio=0.1, run_queue_ratio=None, blocked_ratio=None,
            client_hit_ratio=None, failed_samples=0,
        )
        for count in (1, 2, 4)
    ]  # fmt: skip
    probe = ProbeRecord(
        ioprof_version="0",
        started_utc="2026",
        outcome="complete",
        workload="w",
        store="s",
        cache="cold",
        cores=2,
        first_epoch=0,
        levels=levels,
    )
    trace = _trace()
    trace = Trace(
        **{name: getattr(trace, name) for name in ("run", "steps", "batches", "operations", "host", "spans")},
        probe=probe,
    )
    (chart,) = [block for block in SECTIONS[6](trace, summarise(trace)).blocks if isinstance(block, Chart)]
    assert chart.traces[0]["x"] == [1, 2, 4]
    assert chart.traces[0]["y"] == [100.0, 200.0, 400.0]
    assert [row[0] for row in chart.table.rows] == ["1", "2", "4"]


def test_coarse_buckets_hold_as_many_operations_as_fine_ones() -> None:
    """And lie where these are, within a tenth."""
    durations = np.array([1_000, 1_000_000, 50_000_000])
    buckets = np.bincount(bucket_of(durations))
    middle, counts = coarse(buckets)
    assert counts.sum() == 3
    assert middle[counts > 0] == pytest.approx(durations, rel=0.1)


def test_a_page_that_cannot_be_written_leaves_the_old_one(tmp_path: Path) -> None:
    """In one step or not at all, with what to do."""
    (tmp_path / "report.html").write_text("old")
    (tmp_path / "report.html.new").mkdir()
    with pytest.raises(RunDirectoryError, match=r"report\.html: cannot be written: Is a directory; free space there"):
        write_page(tmp_path / "report.html", "new")
    assert (tmp_path / "report.html").read_text() == "old"


def test_a_number_keeps_all_its_digits_beside_what_is_shown() -> None:
    """Two digits on the page, the value in its mark."""
    cell = Number(text="0.33", key="x", value=1 / 3)
    text = page("t", "s", [Section(id="a", title="A", blocks=(Table(header=("n",), rows=((cell,),), caption="c"),))])
    assert f'value="{1 / 3!r}"' in text
