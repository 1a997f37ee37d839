"""Stores to imitate by name, each number with its source. They are what vendors state, not what a site has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """Parameters of a throttle, and where they come from."""

    parameters: Mapping[str, str]
    source: str


PRESETS: dict[str, Preset] = {
    "hdd": Preset(
        parameters={"latency.read": "12.4ms", "latency.write": "12.4ms", "latency.fsync": "12.4ms",
                    "bandwidth": "175MB/s", "iops": "81"},
        source="one 7,200 rpm disk whose every request seeks: 8.2 ms (HGST Ultrastar 7K4000 specification, table 6) "
        "and half a turn, 4.16 ms; 175 MB/s sustained (Seagate Constellation ES.3 manual, 4.1); names are cached",
    ),
    "nvme": Preset(
        parameters={"latency.read": "80us", "latency.write": "15us", "bandwidth": "6800MB/s", "iops": "1M"},
        source="Micron 7450 PRO 7.68 TB, product brief: typical latency at queue depth 1, sequential and random reads; "
        "names are cached",
    ),
    "nfs": Preset(
        parameters={"latency": "1ms", "latency.write": "2.7ms", "latency.fsync": "2.7ms", "latency.create": "2.7ms",
                    "bandwidth": "500MiB/s", "iops": "55k"},
        source="Amazon EFS (NFS 4.1), performance specifications of a regional file system with provisioned "
        "throughput: latency of reads and writes, read IOPS, throughput per client",
    ),
    "s3": Preset(
        # Those that stand for a request. An object is not opened: on a local path that would cost a second one.
        parameters={**{f"latency.{kind}": "100ms" for kind in ("list", "stat", "read", "write", "get", "put")},
                    "jitter": "lognormal:0.5", "iops": "5500"},
        source="Amazon S3 user guide, optimizing performance: 100 to 200 ms to the first byte (the lower end is taken) "
        "and 5,500 GET per second and prefix; the spread is an assumption",
    ),
}  # fmt: skip
