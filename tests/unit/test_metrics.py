"""`--metrics`: OpenMetrics text that says what the run's files say, in places that were tried out before."""

from __future__ import annotations

import http.client
import select
import socket
import threading
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from test_analysis_follow import STEPS_OF_10_MS, running

from ioprof.cli.metrics_server import MetricsFile, MetricsPort
from ioprof.cli.metrics_target import metrics_target
from ioprof.errors import UsageError
from ioprof.report.metrics import metrics_text
from ioprof.trace.follow import Follower
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.recorder import Recorder
from ioprof.trace.rundir import RAW

DURATIONS_NS = [500, 1000, 1_500, 3_000_000, 40_000_000_000]


@pytest.fixture
def followed(tmp_path: Path) -> Follower:
    """Six steps, five reads, and a listing that belongs to discovery."""
    (tmp_path / "run").mkdir()
    directory = running(tmp_path / "run", STEPS_OF_10_MS, warmup_steps=2)
    recorder = Recorder(str(directory / RAW), rank=0, worker=0, span_budget=10**6)
    recorder.begin(Phase.DISCOVERY, batch=-1)
    recorder.record(Kind.LIST, 0, 1000, 0, 0, 0)
    recorder.end()
    recorder.begin(Phase.STEADY, batch=0)
    for duration_ns in DURATIONS_NS:
        recorder.record(Kind.READ, 0, duration_ns, 4096, 0, 5 if duration_ns == 1000 else 0)
    recorder.end()
    recorder.close()
    return Follower(directory)


def samples(text: bytes) -> dict[tuple[str, str], float]:
    """Return values by name and by bound or kind, as Prometheus's own parser reads them."""
    return {
        (one.name, one.labels.get("le", one.labels.get("kind", ""))): one.value
        for family in text_string_to_metric_families(text.decode())
        for one in family.samples
    }


def test_the_figures_are_those_of_the_files(followed: Follower) -> None:
    """In base units, warm-up included, discovery left out."""
    found = samples(metrics_text(followed, is_active=True))
    assert found["ioprof_steps_total", ""] == 6
    assert found["ioprof_samples_total", ""] == 6 * 64
    assert found["ioprof_accelerator_busy_seconds_total", ""] == pytest.approx(0.030)
    assert found["ioprof_accelerator_idle_seconds_total", ""] == pytest.approx(0.030)
    assert found["ioprof_operation_bytes_total", "read"] == 5 * 4096
    assert found["ioprof_operation_errors_total", "read"] == 1
    assert found["ioprof_run_active", ""] == 1
    assert not [kind for _, kind in found if kind == "list"]


def test_latency_buckets_hold_what_took_up_to_their_bound(followed: Follower) -> None:
    """Bounds are edges of the trace's own histogram, so no operation is counted on the wrong side."""
    name = "ioprof_operation_latency_seconds"
    found = samples(metrics_text(followed, is_active=True))
    for (series, bound), count in found.items():
        if series == f"{name}_bucket":
            assert count == sum(duration_ns / 1e9 < float(bound) for duration_ns in DURATIONS_NS)
    assert found[f"{name}_count", "read"] == 5
    assert found[f"{name}_sum", "read"] == pytest.approx(sum(DURATIONS_NS) / 1e9)


def test_a_file_is_whole_at_any_moment_and_says_when_the_run_is_over(tmp_path: Path, followed: Follower) -> None:
    """Whoever reads it in between finds the old or the new text; nothing else is left in the folder."""
    target = metrics_target(str(tmp_path / "ioprof.prom"))
    assert target.path is not None and not target.path.exists()
    file = MetricsFile(target.path, followed)
    file.tick()
    assert samples(target.path.read_bytes())["ioprof_run_active", ""] == 1
    file.close()
    assert samples(target.path.read_bytes())["ioprof_run_active", ""] == 0
    assert sorted(one.name for one in tmp_path.iterdir()) == ["ioprof.prom", "run"]


def test_a_port_answers_and_is_closed_for_everyone_at_the_end(followed: Follower) -> None:
    """On loopback only; a worker that inherited the socket must not keep Prometheus waiting."""
    target = metrics_target(":0")
    assert target.bound is not None
    host, number = target.bound.getsockname()
    assert host == "127.0.0.1"
    inherited = target.bound.dup()
    port = MetricsPort(target.bound, followed)
    answers: list[tuple[int, str, bytes]] = []

    def ask() -> None:
        for path in ("/metrics", "/secrets"):
            asked = http.client.HTTPConnection(host, number, timeout=10)
            asked.request("GET", path)
            answer = asked.getresponse()
            answers.append((answer.status, answer.headers["Content-Type"], answer.read()))
            asked.close()

    asking = threading.Thread(target=ask)
    told = target.told
    asking.start()
    while asking.is_alive():
        if select.select(port.waits_on(), [], [], 0.05)[0]:
            port.tick()
    assert told.endswith("/metrics")
    assert samples(answers[0][2])["ioprof_steps_total", ""] == 6
    assert answers[0][1].startswith("application/openmetrics-text")
    assert [status for status, _, _ in answers] == [200, 404]
    port.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", number), timeout=5)
    inherited.close()


def test_a_place_that_does_not_work_is_told_before_the_run(tmp_path: Path) -> None:
    """A port that is taken, no port, another host's address, a folder, a folder that is not there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        for text, words in {
            f":{taken.getsockname()[1]}": "already in use",
            ":70000": "is no port",
            ":http": "is no port",
            ":": "nothing is no port",
            "192.0.2.1:9464": "cannot be served",
            str(tmp_path): "it is a folder",
            str(tmp_path / "none" / "x.prom"): "cannot be written",
        }.items():
            with pytest.raises(UsageError, match=words):
                metrics_target(text)
    assert not list(tmp_path.iterdir())
