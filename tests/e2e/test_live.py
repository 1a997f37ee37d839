"""What follows a run from beside it: it ends with the run however that ends, and the run does not need it."""

from __future__ import annotations

import http.client
import signal
import socket
from pathlib import Path

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.e2e.driver import start, steps_recorded, wait_for

RUN = (
    "run", "small-files", "--files", "200", "--file-size", "4KiB", "--batch-size", "8", "--compute", "2ms",
    "--workers", "1", "--no-probe", "--quiet", "--warmup", "1",
)  # fmt: skip


def followers(of: int) -> list[psutil.Process]:
    """Return the processes that follow the run of a process."""
    children = psutil.Process(of).children()
    return [one for one in children if "ioprof.cli.live" in " ".join(one.cmdline())]


def free_port() -> int:
    """Return a port that nobody has."""
    with socket.create_server(("127.0.0.1", 0)) as found:
        port: int = found.getsockname()[1]
        return port


def asked(port: int) -> dict[str, float]:
    """Return the counters that have no kind."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return {one.name: one.value for family in text_string_to_metric_families(text) for one in family.samples}


def test_metrics_are_served_while_steps_are_made_and_end_with_the_run(tmp_path: Path) -> None:
    """Two scrapes of a real run: the counters grow; afterwards nobody listens and nobody is left."""
    port = free_port()
    run = start(*RUN, "--duration", "4s", "--metrics", f":{port}", cwd=tmp_path)
    try:
        wait_for(lambda: steps_recorded(tmp_path / "results") > 20)
        wait_for(lambda: _listens(port))
        first = asked(port)
        wait_for(lambda: steps_recorded(tmp_path / "results") > first["ioprof_steps_total"] + 20)
        second = asked(port)
        assert second["ioprof_steps_total"] > first["ioprof_steps_total"] > 0
        assert second["ioprof_samples_total"] == 8 * second["ioprof_steps_total"]
        assert run.wait() == 0
    finally:
        run.kill()
    assert not _listens(port)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.mark.parametrize("of_the_run", [True, False], ids=["the run", "the follower"])
def test_whoever_is_killed_the_other_one_knows_what_to_do(of_the_run: bool, tmp_path: Path) -> None:
    """A killed run leaves no follower behind; a killed follower takes nothing from the run."""
    target = tmp_path / "ioprof.prom"
    run = start(*RUN, "--duration", "2s", "--metrics", str(target), cwd=tmp_path)
    try:
        wait_for(target.exists)
        (follower,) = followers(run.pid)
        if of_the_run:
            psutil.Process(run.pid).send_signal(signal.SIGKILL)
            follower.wait(timeout=10)
        else:
            follower.send_signal(signal.SIGKILL)
            assert run.wait() == 0
    finally:
        run.kill()
    assert not follower.is_running()
