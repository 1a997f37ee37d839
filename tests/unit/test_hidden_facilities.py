"""Real runs on a kernel that lacks one thing: what it would have told is unknown by name, and never a wrong number."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

import ioprof
from ioprof.analysis.summary import Summary
from ioprof.errors import IoprofError
from ioprof.host import thread_accounting
from ioprof.host.residency import METHODS, PAGE_BYTES, Method, Residency, first_answer
from ioprof.host.thread_accounting import ThreadAccounting
from ioprof.runner import plan
from ioprof.store import cache_witness, page_cache
from ioprof.trace import batch_trace, finish
from ioprof.trace.reader import load_trace

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]
FILES, SIZE_BYTES = 64, 4 * PAGE_BYTES


def run(folder: Path, **settings: object) -> Summary:
    """Read sixty-four files of four pages with one forked worker, which inherits what is hidden from this process."""
    section: dict[str, object] = {"cache": "warm", "probe": False, "warmup": 0, "cache_evidence": "every"}
    return ioprof.run(
        {
            "workload": {"name": "small-files", "files": FILES, "file_size": f"{SIZE_BYTES}B"},
            "store": {"url": str(folder / "store")},
            "loader": {"name": "processes", "workers": 1, "batch_size": 8},
            "accelerator": {"compute": "1ms"},
            "run": {"epochs": 2, "results": str(folder / "results"), **section, **settings},
        }
    ).summary


def hide_ways(monkeypatch: pytest.MonkeyPatch, *left: Method) -> None:
    """Leave only some ways to ask about cached pages."""

    def first(
        fd: int, offset: int = 0, size_bytes: int = 0, *, methods: Sequence[Method] = METHODS
    ) -> tuple[Residency, int] | None:
        return first_answer(fd, offset, size_bytes, methods=left)

    monkeypatch.setattr(cache_witness, "first_answer", first)
    monkeypatch.setattr(page_cache, "first_answer", first)


def test_what_asking_reads_is_no_part_of_coverage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where only a read tells what is cached, the worker reads everything twice, and the kernel counts both."""
    hide_ways(monkeypatch, "rwf_nowait")
    summary = run(tmp_path)
    assert summary.cache.method == "rwf_nowait"
    assert summary.coverage.tapped_bytes == 2 * FILES * SIZE_BYTES
    assert summary.coverage.ratio == pytest.approx(1, abs=0.02)


def test_without_any_way_to_ask_and_without_counters_the_page_cache_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a ratio nor a coverage, and each says what is missing."""
    hide_ways(monkeypatch)
    monkeypatch.setattr(batch_trace.FamilyIo, "read", lambda self: None)
    summary = run(tmp_path)
    assert (summary.cache.client_hit_ratio, summary.cache.cold_achieved, summary.coverage.ratio) == (None, None, None)
    assert summary.reasons["cache.client_hit_ratio"] == "/proc/PID/io of the workers was not readable"
    assert "/proc/PID/io" in summary.reasons["coverage.ratio"]
    assert "neither cachestat(2), mincore(2) nor preadv2(RWF_NOWAIT) answers" in summary.cache.evidence


def test_without_schedstat_waiting_for_a_cpu_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in containers that hide it: time on a CPU stands, the rest is not called blocked."""
    monkeypatch.setattr(ThreadAccounting, "run_queue_ns", lambda self: -1)
    monkeypatch.setattr(thread_accounting, "counts_block_io", lambda proc="/proc": False)
    cpu = (summary := run(tmp_path)).cpu
    assert cpu.on_cpu_s
    assert (cpu.run_queue_s, cpu.blocked_s) == (None, None)
    for name in ("run_queue_s", "blocked_s"):
        assert "schedstat" in summary.reasons[f"cpu.{name}"]


def test_without_pressure_files_their_series_are_missing_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run's record says which series of the host there are not, and why."""
    hidden = {"psi_io_*": "/proc/pressure/io: No such file or directory"}
    monkeypatch.setattr(finish, "missing_metrics", lambda path: hidden)
    summary = run(tmp_path)
    (directory,) = (tmp_path / "results").iterdir()
    assert load_trace(directory).run.host_missing == summary.host_missing == hidden


def test_without_the_right_to_drop_caches_a_run_that_asks_for_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was not made cold is not measured as if it were."""
    monkeypatch.setattr(plan, "drop_caches_refusal", partial(page_cache.drop_caches_refusal, tmp_path / "proc"))
    with pytest.raises(IoprofError, match="sys/vm/drop_caches is not there"):
        run(tmp_path, cache="cold", drop_caches=True)
