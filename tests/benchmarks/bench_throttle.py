"""The throttled store's own error: what it was asked for against what its clients get.

    python tests/benchmarks/bench_throttle.py --seconds 2

Plain processes read through real taps and nothing else. Goals on an idle machine: mean latency within 100 µs + 2 % of
what was asked for, bandwidth and operations per second within 2 %, by one process and by four.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import tempfile
import time
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np

from ioprof.host.other_load import other_load
from ioprof.store.local_tap import tap_store
from ioprof.store.open_store import open_store
from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.raw import raw_processes, raw_spans
from ioprof.trace.recorder import Recorder
from ioprof.units import format_duration

MIB = 1 << 20
LATENCIES = ("200us", "1ms", "5ms", "20ms")
BANDWIDTHS = ("50MB/s", "200MB/s")
OPERATIONS = (500, 2000, 10_000)
METADATA = (500, 2000)
PROCESSES = (1, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Got:
    """What all clients of one case got together."""

    operations: int
    size_bytes: int
    wall_s: float
    latency_ns: np.ndarray
    cpu_s: float


def main() -> None:
    """Try every case and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0, help="duration of each case")
    options = parser.parse_args()
    load = other_load()
    print(f"other load on this host: {load.cores:.2f} cores" if load else "other load: not known")
    for processes in PROCESSES:
        for latency in LATENCIES:
            got = measured(f"latency={latency}", processes, 4096, options.seconds)
            tell_latency(latency, processes, got)
        for bandwidth in BANDWIDTHS:
            got = measured(f"bandwidth={bandwidth}", processes, MIB, options.seconds)
            asked = float(bandwidth.removesuffix("MB/s")) * 1e6
            tell_rate(f"bandwidth {bandwidth}", processes, got.size_bytes / got.wall_s, asked, got)
        for iops in OPERATIONS:
            got = measured(f"iops={iops}", processes, 4096, options.seconds)
            tell_rate(f"iops {iops:,}", processes, got.operations / got.wall_s, iops, got)
        for metadata in METADATA:
            got = measured(f"metadata={metadata}", processes, 4096, options.seconds, Kind.OPEN)
            tell_rate(f"metadata {metadata:,}", processes, got.operations / got.wall_s, metadata, got)


def tell_latency(asked: str, processes: int, got: Got) -> None:
    """Print a case of latency."""
    asked_ns = {"200us": 2e5, "1ms": 1e6, "5ms": 5e6, "20ms": 2e7}[asked]
    mean = float(got.latency_ns.mean())
    p50, p99 = (float(np.quantile(got.latency_ns, share)) for share in (0.5, 0.99))
    kept = "ok" if abs(mean - asked_ns) <= 100e3 + 0.02 * asked_ns else "MISSED"
    print(
        f"latency {asked:<8} x{processes}: mean {format_duration(mean)} ({(mean / asked_ns - 1) * 100:+.2f} %), "
        f"p50 {format_duration(p50)}, p99 {format_duration(p99)}, {cpu(got)}, n={got.operations:,}  {kept}"
    )


def tell_rate(case: str, processes: int, rate: float, asked: float, got: Got) -> None:
    """Print a case of bandwidth or operations per second."""
    kept = "ok" if abs(rate / asked - 1) <= 0.02 else "MISSED"
    print(f"{case:<16} x{processes}: {(rate / asked - 1) * 100:+.2f} %, {cpu(got)}, n={got.operations:,}  {kept}")


def cpu(got: Got) -> str:
    """Return the CPU time of an operation."""
    return f"{got.cpu_s / got.operations * 1e6:.0f} µs of CPU each"


def measured(parameters: str, processes: int, size_bytes: int, seconds: float, kind: Kind = Kind.READ) -> Got:
    """Let so many processes read a file of their own for some seconds, or open it again and again."""
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-") as scratch:
        trace_dir, store_dir = Path(scratch, "trace"), Path(scratch, "store")
        trace_dir.mkdir()
        store_dir.mkdir()
        for number in range(processes):
            (store_dir / str(number)).write_bytes(os.urandom(size_bytes))
        context = multiprocessing.get_context("fork")
        barrier, results = context.Barrier(processes), context.SimpleQueue()
        url = f"throttle+{store_dir}?{parameters}"
        clients = [
            context.Process(target=client, args=(url, trace_dir, number, size_bytes, seconds, kind, barrier, results))
            for number in range(processes)
        ]
        for one in clients:
            one.start()
        ends = [results.get() for _ in clients]
        for one in clients:
            one.join()
        rows = [row for batch in raw_spans(raw_processes(trace_dir)[0]) for row in batch.to_pylist()]
    own = [row for row in rows if row["kind"] == kind]
    starts, last = [row["start_ns"] for row in own], max(row["start_ns"] + row["duration_ns"] for row in own)
    return Got(
        operations=len(own),
        size_bytes=sum(row["bytes"] for row in own),
        wall_s=(last - min(starts)) / 1e9,
        latency_ns=np.array([row["duration_ns"] for row in own]),
        cpu_s=sum(ends),
    )


def client(
    url: str,
    trace_dir: Path,
    number: int,
    size_bytes: int,
    seconds: float,
    kind: Kind,
    barrier: Barrier,
    results: multiprocessing.SimpleQueue[float],
) -> None:
    """Read one file again and again, or open it, as fast as the store lets it."""
    recorder = Recorder(str(trace_dir), rank=0, worker=number, span_budget=10**8)
    recorder.begin(int(Phase.STEADY), batch=0)
    tap, buffer = tap_store(open_store(url), recorder), memoryview(bytearray(size_bytes))
    barrier.wait()
    begun_cpu_s, end_s = time.process_time(), time.perf_counter() + seconds
    if kind == Kind.OPEN:
        while time.perf_counter() < end_s:
            tap.open_file(str(number)).close()
    else:
        with tap.open_file(str(number)) as file:
            while time.perf_counter() < end_s:
                file.read_into(buffer, 0)
    spent_s = time.process_time() - begun_cpu_s
    recorder.close()
    results.put(spent_s)


if __name__ == "__main__":
    main()
