"""When a run says that its steps are over."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from ioprof.loaders.null import Null, NullSession

from ioprof.api import spec_of
from ioprof.contract import Batch
from ioprof.errors import RunError
from ioprof.host.sampler import HostSampler
from ioprof.runner.interrupt import Interrupted
from ioprof.runner.observer import Silent
from ioprof.runner.plan import plan_run
from ioprof.runner.record import Recording

pytestmark = pytest.mark.usefixtures("nothing_left")


class _Listening(Silent):
    def __init__(self, events: list[str]) -> None:
        self._events = events

    def finished(self) -> None:
        """Note it."""
        self._events.append("finished")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens at the end of a run, in order."""
    found: list[str] = []
    monkeypatch.setattr(NullSession, "close", lambda session: found.append("session closed"))
    stop = HostSampler.stop

    def noted(sampler: HostSampler) -> None:
        found.append("sampler stopped")
        stop(sampler)

    monkeypatch.setattr(HostSampler, "stop", noted)
    return found


def _recording(folder: Path, events: list[str]) -> Recording:
    spec = spec_of(
        {
            "workload": {"name": "small-files", "files": 64},
            "store": {"url": str(folder / "store")},
            "loader": {"name": "null", "batch_size": 8},
            "accelerator": {"name": "none"},
            "run": {"results": str(folder / "results"), "epochs": 1, "warmup": 1},
        }
    )
    return Recording(plan_run(spec), None, ["test"], _Listening(events))


def test_steps_are_over_before_anything_is_torn_down(tmp_path: Path, events: list[str]) -> None:
    """A loader may take long to close; whoever waits knows by then that the run is closing."""
    _recording(tmp_path, events).run()
    assert events == ["finished", "session closed", "sampler stopped"]


def test_a_run_told_to_end_says_so_before_it_is_torn_down(
    tmp_path: Path, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or it would be told again while it closes its loader."""

    def interrupted(session: NullSession, epoch: int) -> Iterator[Batch]:
        raise Interrupted(signal.SIGTERM)

    monkeypatch.setattr(NullSession, "batches", interrupted)
    with pytest.raises(Interrupted):
        _recording(tmp_path, events).run()
    assert events == ["finished", "session closed", "sampler stopped"]


def test_a_run_that_fails_before_its_first_step_is_over_once(
    tmp_path: Path, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was shown of it ends all the same."""

    def failing(loader: Null, job: object) -> NullSession:
        raise RunError("no such loader")

    monkeypatch.setattr(Null, "open", failing)
    with pytest.raises(RunError, match="no such loader"):
        _recording(tmp_path, events).run()
    assert events == ["finished", "sampler stopped"]


def test_workers_that_die_with_the_run_do_not_replace_what_ended_it(
    tmp_path: Path, events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loader's signal handler raises wherever the run is just then, also while it says that it is over."""

    def interrupted(session: NullSession, epoch: int) -> Iterator[Batch]:
        raise Interrupted(signal.SIGTERM)

    def struck(listening: _Listening) -> None:
        events.append("struck" if not events else "finished")
        if events == ["struck"]:
            raise RuntimeError("DataLoader worker is killed by signal")

    monkeypatch.setattr(NullSession, "batches", interrupted)
    monkeypatch.setattr(_Listening, "finished", struck)
    with pytest.raises(Interrupted):
        _recording(tmp_path, events).run()
    assert events == ["struck", "finished", "session closed", "sampler stopped"]
