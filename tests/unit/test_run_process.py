"""The parent's side of a run in a process of its own, where that process does not end as it should."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from ioprof.api import spec_of
from ioprof.compound import run_process
from ioprof.compound.messages import Ended, Order, PhaseBegan
from ioprof.compound.run_process import RunProcess

pytestmark = pytest.mark.usefixtures("nothing_left", "no_descriptor_left")

STUCK = """
import json, os, select, signal, sys
sys.path[:] = json.loads(sys.argv[3])
from multiprocessing.connection import Connection
from ioprof.compound.messages import PhaseBegan
signal.signal(signal.SIGTERM, signal.SIG_IGN)
connection = Connection(int(sys.argv[1]))
connection.recv()
if os.fork() == 0:
    # A worker: holds the connection until the parent has closed its end.
    select.select([connection], [], [], 20)
    os._exit(0)
connection.send(PhaseBegan("forked"))
signal.pause()
"""
TORN = """
import json, os, sys
sys.path[:] = json.loads(sys.argv[3])
from multiprocessing.connection import Connection
# What is left unread would reset the connection.
Connection(os.dup(int(sys.argv[1]))).recv()
os.write(int(sys.argv[1]), (100).to_bytes(4, "big") + b"abc")
"""


def started(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> RunProcess:
    """Start a process that runs ``script`` in place of a run."""
    monkeypatch.setattr(run_process, "_BOOT", script)
    spec = spec_of({"workload": {"name": "small-files"}, "store": {"url": str(folder)}})
    return RunProcess(Order(spec, ["test"], gated=False))


def test_a_killed_run_has_ended_though_its_workers_hold_the_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No end of the connection shows then, and none is waited for."""
    with started(monkeypatch, tmp_path, STUCK) as run:
        assert run.receive() == PhaseBegan("forked")
        start_s = time.monotonic()
        ended = run.wait_for_end(0)
        assert time.monotonic() - start_s < 10
    assert ended == run.ended == Ended(None, "its process was killed by SIGKILL; what it had measured is kept", 1)


def test_a_run_that_dies_while_it_tells_something_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a message is none."""
    with started(monkeypatch, tmp_path, TORN) as run:
        told = run.receive()
    assert told == Ended(None, "its process ended with exit code 0; what it had measured is kept", 1)
