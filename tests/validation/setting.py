"""One setting of a run, as a spec and as what changed against another setting: both from the same fields."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from ioprof.analysis.pipeline.change import Change
from ioprof.analysis.pipeline.pieces import Stage
from ioprof.spec.sources import Value

FILES = {"files": "8", "file_size": "32MiB", "records": "400k", "keep_open": "0"}
"""Of the workload `record-reads`: every sample opens a file, reads one record and closes it."""
SHARDS = {
    "format": "raw", "shards": "64", "samples_per_shard": "2048", "sample_size": "4KiB", "read_size": "64KiB",
    "shuffle_buffer": "0",
}  # fmt: skip
"""Of `streaming-shards`: one read brings 16 samples."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is set for a run; what is 0 or empty is left out."""

    stream: bool = False
    """Shards read front to back, by an iterable loader; else records at random offsets."""
    loader: str = ""
    """Empty: torch's."""
    start_method: str = "fork"
    workers: int = 2
    prefetch: int = 2
    batch_size: int = 16
    in_order: bool = True
    pin: bool = False
    record_bytes: int = 4096
    compute_us: int = 0
    """0: no accelerator."""
    decode_us: int = 0
    open_us: int = 0
    """Latency of each open; so is the next of each read."""
    read_us: int = 0
    jitter: str = ""
    iops: int = 0
    mb_per_s: int = 0

    def spec(self, store: str, results: str, steps: int, longest_s: float, probe: bool) -> dict[str, dict[str, Value]]:
        """Return the run's spec.

        Args:
            store: folder of the datasets.
            results: folder of the run directories.
            steps: how many, warm-up included.
            longest_s: when to stop all the same.
            probe: measure ceiling and baselines after the steps, as `ioprof run` does unless told otherwise.
        """
        workload: dict[str, Value] = {"name": "streaming-shards", **SHARDS} if self.stream else {
            "name": "record-reads", **FILES, "record_size": str(self.record_bytes), "alignment": "4KiB",
        }  # fmt: skip
        loader: dict[str, Value] = {
            "name": self.loader or ("torch-iterable" if self.stream else "torch-map"),
            "workers": self.workers, "prefetch": self.prefetch, "batch_size": self.batch_size,
            "start_method": self.start_method,
        }  # fmt: skip
        if self.loader != "processes":
            loader |= {"in_order": self.in_order, "pin": self.pin}
        if self.decode_us:
            workload["decode"] = f"{self.decode_us}us"
        compute: dict[str, Value] = {"name": "h100", "compute": f"{self.compute_us}us"}
        return {
            "workload": workload,
            "store": {"url": self._url(store)},
            "loader": loader,
            "accelerator": compute if self.compute_us else {"name": "none"},
            "run": {
                "steps": steps, "warmup": self.warmup, "duration": f"{longest_s:.3f}s", "epochs": 1000,
                "cache": "asis", "probe": probe, "results": results,
            },
        }  # fmt: skip

    @property
    def about_samples_per_s(self) -> float:
        """About how fast it will be: good enough to say how long a run is to be."""
        reads = self.batch_size / (16 if self.stream else 1)
        storage_us = reads * (self.read_us + (0 if self.stream else self.open_us + 30))
        made_us = (storage_us + self.batch_size * (self.decode_us + self.record_bytes / 2000)) / max(1, self.workers)
        shared_us = self.batch_size * max(
            1e6 / self.iops if self.iops else 0.0, self.record_bytes / self.mb_per_s if self.mb_per_s else 0.0
        )
        return self.batch_size * 1e6 / max(made_us, shared_us, self.compute_us + 0.5)

    @property
    def warmup(self) -> int:
        """Steps until what was made ahead at the start is used up."""
        return 10 + self.workers * self.prefetch

    def _url(self, store: str) -> str:
        asked = {
            "latency.open": f"{self.open_us}us" if self.open_us else "",
            "latency.read": f"{self.read_us}us" if self.read_us else "",
            "jitter": self.jitter,
            "iops": str(self.iops or ""),
            "bandwidth": f"{self.mb_per_s}MB/s" if self.mb_per_s else "",
        }
        text = "&".join(f"{key}={value}" for key, value in asked.items() if value)
        return f"throttle+{store}?{text}" if text else store

    def unlike(self, other: Setting) -> str:
        """Say in words what differs from another setting; empty: nothing."""
        pairs = [(field.name, getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return ", ".join(f"{_in_words(name)} {one} -> {now}" for name, one, now in pairs if one != now)

    def change_to(self, other: Setting) -> Change:
        """Return what `ioprof predict` is told on a run of this setting to learn about another one.

        Raises:
            ValueError: something differs that no prediction is made for.
        """
        asked: dict[str, Any] = {
            name: getattr(other, name)
            for name in ("workers", "prefetch", "batch_size", "in_order", "pin")
            if getattr(self, name) != getattr(other, name)
        }
        # A batch of another size would keep the accelerator busy for longer or shorter: here it does not.
        if self.compute_us != other.compute_us or self.batch_size != other.batch_size:
            asked["busy_ns_per_batch"] = other.compute_us * 1000
        for name, rate in (("store_iops_factor", "iops"), ("store_bandwidth_factor", "mb_per_s")):
            if getattr(self, rate) != getattr(other, rate):
                asked[name] = getattr(other, rate) / getattr(self, rate)
        asked |= self._latency_to(other)
        same = ("stream", "loader", "start_method", "record_bytes", "jitter")
        if any(getattr(self, name) != getattr(other, name) for name in same):
            raise ValueError(f"nothing is predicted for {self.unlike(other)}")
        return Change(**asked)

    def _latency_to(self, other: Setting) -> dict[str, Any]:
        """Return the store's latency as a whole where all of it changes alike, else stage by stage."""
        before = {Stage.OPEN: self.open_us, Stage.READ: self.read_us}
        after = {Stage.OPEN: other.open_us, Stage.READ: other.read_us}
        factors = {stage: after[stage] / before[stage] for stage in before if before[stage] != after[stage]}
        found: dict[str, Any] = {}
        if len(set(factors.values())) == 1 and len(factors) == sum(map(bool, before.values())):
            found["store_latency_factor"] = next(iter(factors.values()))
            factors = {}
        if self.decode_us != other.decode_us:
            factors[Stage.DECODE] = other.decode_us / self.decode_us
        return found | ({"stage_factors": factors} if factors else {})


def _in_words(name: str) -> str:
    words, _, unit = name.rpartition("_")
    if unit == "us":
        return f"{words} µs"
    return name.replace("_", " ")
