"""The host over time: starts and stops the sampler's process, and reads what it wrote."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ioprof.host import raw_format

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

RAW_NAME = "host.raw"
"""File in the trace directory that the sampler appends to."""
_START = (
    "import sys, types; ioprof = sys.modules['ioprof'] = types.ModuleType('ioprof'); "
    "ioprof.__path__ = [sys.argv.pop(1)]; "
    "from ioprof.host.sampler_process import main; main(sys.argv[1:])"
)
"""Starts the child from this very copy of ioprof, without the package's own start-up and site-packages, which
together cost three times what the sampler does."""
_READY_S = 10.0
_STOP_S = 5.0


class HostSampler:
    """A light process of its own that records what the kernel says about this host.

    Workers forked while it runs do not keep it alive. It never takes the run down: whatever goes wrong is
    left in `failure`.
    """

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner_pid = -1
        self.path: Path | None = None
        """The raw file; None before `start`."""
        self.failure: str | None = None
        """Why the series is missing or ends early; None: all went well so far."""

    def start(self, trace_dir: Path | str, watch_pid: int, interval_s: float = 0.2) -> Self:
        """Start sampling and return once the first values are on file, or once that has failed.

        Args:
            trace_dir: existing directory; the series goes to ``host.raw`` in it.
            watch_pid: process that is watched together with all its descendants.
            interval_s: time between two readings, in seconds.

        Raises:
            ValueError: the interval is not positive, or the sampler was started already.
        """
        if interval_s <= 0:
            raise ValueError(f"interval_s is {interval_s}; it must be positive")
        if self._process is not None:
            raise ValueError("this sampler was started already; make another")
        self.path = Path(trace_dir) / RAW_NAME
        self._owner_pid = os.getpid()
        command = [sys.executable, "-S", "-P", "-c", _START, str(Path(__file__).parents[1]), str(self.path)]
        command += [str(os.getpid()), str(watch_pid), str(round(interval_s * 1e9))]
        pipe = subprocess.PIPE
        try:
            # Its own process group: Ctrl-C is for the run, which then stops the sampler in order.
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, process_group=0)
        except OSError as error:
            self.failure = f"the host sampler did not start: {error}"
            return self
        self._await_first_values(self._process)
        return self

    def stop(self) -> None:
        """Take a last reading and end the process; harmless when it is not running, or in a forked worker."""
        process, self._process = self._process, None
        if process is None or os.getpid() != self._owner_pid:
            return
        if process.poll() is not None:
            self.failure = self.failure or f"the host sampler ended early ({_last_words(process)})"
        # A byte, not only the end of the file: forked workers may hold a copy of this pipe.
        with contextlib.suppress(OSError):
            os.write(_fileno(process.stdin), b"q")
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self.failure = self.failure or f"the host sampler hung for {_STOP_S:g} s and was killed"
            process.kill()
            process.wait()
        _close_pipes(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """Process that samples; None while none does."""
        return self._process.pid if self._process is not None else None

    def _await_first_values(self, process: subprocess.Popen[bytes]) -> None:
        stdout = _fileno(process.stdout)
        poll = select.poll()  # select() breaks on descriptors above 1023
        poll.register(stdout, select.POLLIN)
        if not poll.poll(_READY_S * 1e3):
            self.failure = f"the host sampler gave no values within {_READY_S:g} s"
        elif not os.read(stdout, 1):
            process.wait()
            self.failure = f"the host sampler did not start ({_last_words(process)})"


def _fileno(pipe: object) -> int:
    return pipe.fileno() if hasattr(pipe, "fileno") else -1


def _last_words(process: subprocess.Popen[bytes]) -> str:
    """Return the last line the dead process left, or how it ended."""
    words = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
    return words.splitlines()[-1] if words else f"exit status {process.returncode}"


def _close_pipes(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with contextlib.suppress(OSError):
                pipe.close()


def missing_metrics(path: Path | str) -> dict[str, str]:
    """Return the reason per metric (or ``family_*``) that the sampler could not read.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a sampler's file.
    """
    bodies = [body for kind, body in raw_format.frames(Path(path).read_bytes()) if kind == raw_format.NOTE]
    pairs = (body.decode().partition("\t") for body in bodies)
    return {metric: reason for metric, _, reason in pairs}


def read_host_raw(path: Path | str) -> pa.Table:
    """Return the sampled series as a table of schema HOST, by time; whatever is torn at the end is left out.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a sampler's file.
    """
    import numpy as np
    import pyarrow as pa

    from ioprof.trace.schema import HOST

    metrics: dict[str, int] = {}
    devices: dict[str, int] = {}
    columns: list[tuple[NDArray[np.generic], ...]] = []
    for series, times_ns, values in _stretches(Path(path).read_bytes()):
        metric = np.array([metrics.setdefault(one[0], len(metrics)) for one in series], np.int16)
        device = np.array([devices.setdefault(one[1], len(devices)) for one in series], np.int16)
        ticks = len(times_ns)
        columns.append((times_ns.repeat(len(series)), np.tile(metric, ticks), np.tile(device, ticks), values))
    if not columns:
        return HOST.empty_table()
    time_ns, metric_code, device_code, value = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    arrays = [
        pa.array(time_ns),
        pa.DictionaryArray.from_arrays(metric_code, pa.array(list(metrics), pa.string())),
        pa.DictionaryArray.from_arrays(device_code, pa.array(list(devices), pa.string())),
        pa.array(value),
    ]
    return pa.Table.from_arrays(arrays, schema=HOST)


def _stretches(
    content: bytes,
) -> Iterator[tuple[list[tuple[str, str]], NDArray[np.int64], NDArray[np.float64]]]:
    """Yield series, stamps and values (tick after tick, flat) for every stretch with the same series."""
    import numpy as np

    series: list[tuple[str, str]] = []
    ticks: list[bytes] = []

    def stretch() -> tuple[list[tuple[str, str]], NDArray[np.int64], NDArray[np.float64]]:
        rows = np.frombuffer(b"".join(ticks), np.dtype([("t", "<i8"), ("v", "<f8", (len(series),))]))
        return series, rows["t"], rows["v"].reshape(-1)

    for kind, body in raw_format.frames(content):
        if kind == raw_format.TICK:
            ticks.append(body)
        elif kind == raw_format.NAMES:
            if ticks:
                yield stretch()
            lines = body.decode().split("\n")
            series, ticks = [(metric, device) for metric, _, device in (n.partition("\t") for n in lines)], []
    if ticks:
        yield stretch()
