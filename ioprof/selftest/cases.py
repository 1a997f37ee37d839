"""The runs of the self-test: small files on a throttled local store, every time of theirs known beforehand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ioprof.spec.sources import Value

MS = 1_000_000
MIB = 1 << 20
PREFETCH = 2
Loader = Literal["processes", "torch-map"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run of known truth."""

    name: str
    workers: int
    steps: int
    """Measured ones; the warm-up comes on top."""
    batch_size: int = 8
    loader: Loader = "processes"
    file_bytes: int = 4096
    open_ns: int = 0
    read_ns: int = 0
    decode_ns: int = 0
    compute_ns: int = MS
    iops: int | None = None
    bandwidth_bytes_per_s: int | None = None
    jitter: str | None = None
    probe: bool = False
    """Whether the store's ceiling is measured after the steps."""

    @property
    def warmup(self) -> int:
        """Return steps that are left out: what is made ahead, and as much again."""
        return 2 * PREFETCH * self.workers

    @property
    def throttle(self) -> str:
        """Return the parameters of the store."""
        wanted = {
            "latency.open": f"{self.open_ns}ns" if self.open_ns else None,
            "latency.read": f"{self.read_ns}ns" if self.read_ns else None,
            "jitter": self.jitter,
            "iops": self.iops,
            "bandwidth": self.bandwidth_bytes_per_s,
        }
        return "&".join(f"{key}={value}" for key, value in wanted.items() if value is not None)

    @property
    def sleeps(self) -> bool:
        """Whether the length of its batches is known: operations take latencies, and no turns at a shared device."""
        return self.iops is None and self.bandwidth_bytes_per_s is None

    @property
    def is_alone(self) -> bool:
        """Whether one worker alone reads a device of known bandwidth: between two reads of its own it gives nothing."""
        return self.workers == 1 and self.bandwidth_bytes_per_s is not None

    @property
    def held_read_ns(self) -> int:
        """How long a read is held: its latency, or what its bytes take of the device alone."""
        if self.bandwidth_bytes_per_s is None:
            return self.read_ns
        return round(self.file_bytes / self.bandwidth_bytes_per_s * 1e9)

    @staticmethod
    def data(folder: Path) -> Path:
        """Return where the dataset of a run in ``folder`` stands."""
        return folder / "data"

    def sections(self, folder: Path) -> dict[str, dict[str, Value]]:
        """Return the spec of the run.

        Args:
            folder: gets the dataset and the run directory.
        """
        # One epoch: nothing of ours between two of them. Read from the page cache: only the throttle takes time.
        steps = self.warmup + self.steps
        return {
            "workload": {
                "name": "small-files", "files": (steps + 4 * self.workers) * self.batch_size,
                "file_size": f"{self.file_bytes}B", "decode": f"{self.decode_ns}ns", "discovery": "none",
            },
            "store": {"url": f"throttle+{self.data(folder)}?{self.throttle}"},
            "loader": {
                "name": self.loader, "workers": self.workers, "prefetch": PREFETCH, "batch_size": self.batch_size,
            },
            "accelerator": {"compute": f"{self.compute_ns}ns", "copy_to_device": False},
            "run": {
                "steps": steps, "warmup": self.warmup, "cache": "warm", "probe": self.probe,
                "results": str(folder / "results"),
            },
        }  # fmt: skip


def cases(*, quick: bool) -> list[Case]:
    """Return the runs; ``quick`` takes a few of them, and shorter."""
    return _QUICK if quick else _FULL


def _latency(workers: int, loader: Loader = "processes", steps: int = 80) -> Case:
    """Bound by the store whatever the workers: a loader's own cost for each batch does not show in utilisation then."""
    return Case(
        name=f"latency, {_counted(workers)}, {loader}",
        workers=workers, loader=loader, steps=steps, batch_size=16 if workers == 4 else 8,
        open_ns=4 * MS, read_ns=12 * MS, compute_ns=40 * MS,
    )  # fmt: skip


def _iops(workers: int, steps: int = 600, *, probe: bool = False) -> Case:
    """Small batches: what is under way when the window opens counts as read in it."""
    return Case(name=f"IOPS, {_counted(workers)}", workers=workers, steps=steps, batch_size=4, iops=500, probe=probe)


def _bandwidth(workers: int) -> Case:
    """One client alone leaves the link idle between its reads, which its truth knows; its files are large besides."""
    alone = workers == 1
    return Case(
        name=f"bandwidth, {_counted(workers)}",
        workers=workers, steps=240 if alone else 960, batch_size=1 if alone else 4,
        file_bytes=MIB if alone else MIB // 16, bandwidth_bytes_per_s=50_000_000,
    )  # fmt: skip


def _counted(workers: int) -> str:
    return f"{workers} worker{'s' * (workers > 1)}"


_BUSY = Case(name="compute-bound, 2 workers, torch-map", workers=2, loader="torch-map", steps=40,
             open_ns=4 * MS, read_ns=12 * MS, compute_ns=300 * MS)  # fmt: skip
_DECODE = Case(name="decode, 1 worker, processes", workers=1, steps=40, open_ns=4 * MS, read_ns=8 * MS,
               decode_ns=8 * MS, compute_ns=40 * MS)  # fmt: skip
_JITTER = Case(name="jitter, 1 worker, processes", workers=1, steps=120, read_ns=10 * MS, jitter="lognormal:0.5",
               compute_ns=40 * MS)  # fmt: skip
_FULL = [
    *(_latency(workers, loader) for loader in ("processes", "torch-map") for workers in (1, 2, 4)),
    _BUSY,
    # Several workers decode less: a host may have no more than two CPUs, and nobody is to wait for one here.
    _DECODE, replace(_DECODE, name="decode, 2 workers, processes", workers=2, read_ns=14 * MS, decode_ns=2 * MS),
    replace(_DECODE, name="decode, 4 workers, processes", workers=4, batch_size=16, read_ns=14 * MS, decode_ns=2 * MS),
    _JITTER, replace(_JITTER, name="jitter, 2 workers, processes", workers=2),
    replace(_JITTER, name="jitter, 4 workers, processes", workers=4, batch_size=16),
    *(_iops(workers, probe=workers == 4) for workers in (1, 2, 4)),
    *(_bandwidth(workers) for workers in (1, 2, 4)),
]  # fmt: skip
_QUICK = [
    _latency(1, steps=48), _latency(2, "torch-map"), replace(_BUSY, steps=24), replace(_DECODE, steps=32),
    replace(_JITTER, steps=72), _iops(2), _bandwidth(4),
]  # fmt: skip
