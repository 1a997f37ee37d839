"""The run directory of one watched loader, from its first file to its summary."""

from __future__ import annotations

import contextlib
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path

from ioprof.clock import now_ns
from ioprof.host.sampler import HostSampler
from ioprof.host.wall_clock import wall_clock_at_end
from ioprof.trace.finish import finished, remove_raw
from ioprof.trace.liveness import held
from ioprof.trace.run_record import Outcome, RunRecord
from ioprof.trace.rundir import RAW, write_run_json
from ioprof.watcher.steps import StepLogs


class LoaderRecording:
    """A run directory that is being written, readable at any moment."""

    def __init__(self, directory: Path, record: RunRecord, *, host_of: LoaderRecording | None) -> None:
        """Write run.json and create the raw files.

        Args:
            directory: exists, with its raw folder.
            record: of the loader.
            host_of: whose series of the host is this one's too; None: it gets its own.

        Raises:
            OSError: the results disk is full, or not writable.
        """
        self.directory = directory
        self.raw = directory / RAW
        self._caveats: list[str] = []
        self._record = record
        self._host_of = host_of
        self._sampler = HostSampler()
        self._open = contextlib.ExitStack()
        write_run_json(directory, record)
        self.logs = StepLogs(self.raw)
        self._open.enter_context(held(directory))
        if host_of is None:
            self._sampler.start(self.raw, os.getpid())
        self.note(run_start_ns=now_ns(), loader_open_ns=now_ns())

    @property
    def record(self) -> RunRecord:
        """What run.json says."""
        return self._record

    def note(self, **facts: object) -> None:
        """Change run.json.

        Raises:
            OSError: the results disk is full, or not writable.
        """
        self._record = self._record.model_copy(update=facts)
        write_run_json(self.directory, self._record)

    def tell(self, caveat: str) -> None:
        """Have a reader of the run know this."""
        self._caveats.append(caveat)

    def stop(self) -> None:
        """Record nothing more; safe to call twice."""
        self.logs.close(now_ns())
        self._sampler.stop()
        if self._sampler.failure is not None:
            self.tell(f"the host's counters are not complete: {self._sampler.failure}")

    def close(self, outcome: Outcome, reason: str | None) -> None:
        """Write the tables and the final run.json; on a full disk the raw files stay, and still read.

        Raises:
            OSError: the results disk is full, or not writable.
        """
        self.stop()
        with self._open:
            self._share_host()
            ended = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            self.note(outcome=outcome, reason=reason, ended_utc=ended, caveats=list(dict.fromkeys(self._caveats)))
            self.note(clock={**self._record.clock, **wall_clock_at_end()})
            self.note(**dict(finished(self.directory, self._record)))
            remove_raw(self.directory)

    def leave(self) -> None:
        """This process is a copy of the one that records: let go of what it inherited."""
        self._open.close()

    def _share_host(self) -> None:
        if self._host_of is not None and self._host_of.host_raw.exists():
            shutil.copyfile(self._host_of.host_raw, self.host_raw)

    @property
    def host_raw(self) -> Path:
        """The series of the host, while it is raw."""
        return self.raw / "host.raw"
