"""What tracing costs: the same workers make batches with it and without, by turns; warm cache, no accelerator.

    python tests/benchmarks/bench_overhead.py --file-sizes 64KiB 4KiB --seconds 90

Without tracing: torch's DataLoader with ioprof's own order, reader and collate, and nothing that notes anything: no
clock is read around operations; no stamps, kernel counters or step log. With it: a whole recorded run. Rounds of one
block each follow each other, in drawn order; so many of them make a pair that 24 pairs come of a run. A pair gives the
ratio of samples/s and the difference of CPU time per batch. Printed are medians of the pairs with 95 % bootstrap
intervals. Two more blocks of each round judge the benchmark itself: a second one without tracing, which must show no
difference, and one that wastes a known time per batch, which must be found again.

The sampler of the host goes on during all blocks, so that it makes no difference between them: what it uses of a CPU
stands in a line of its own, and is added in full to what tracing takes, as if the slowest process had to wait for it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import platform
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import numpy as np
from alternation import BUSY_NS, LED_IN, LED_OUT, Alternating, Arm, Cost
from ioprof.loaders.torch_params import TorchParams

from ioprof.analysis.summarise import summarise
from ioprof.analysis.summary import Summary
from ioprof.dataset.prepare import Prepared, prepare
from ioprof.runner.observer import Silent
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.runner.record import Recording
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve
from ioprof.trace.reader import load_trace
from ioprof.units import parse_bytes

PAIRS = 24
RESAMPLES = 10_000
WARM_UP_ROUNDS = 4
Round = dict[Arm, Cost]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A median over pairs, and its 95 % bootstrap interval."""

    median: float
    low: float
    high: float

    def told(self, form: Callable[[float], str]) -> str:
        """Return it as text."""
        return f"{form(self.median)} ({form(self.low)} to {form(self.high)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What an arm costs more than the one without tracing."""

    samples_per_s_lost_ratio: Estimate
    more_cpu_ratio: Estimate
    """Of consumer and workers together."""
    worker_cpu_ns_per_batch: Estimate
    consumer_cpu_ns_per_batch: Estimate


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What one file size gave."""

    file_bytes: int
    pairs: int
    rounds: int
    batches_per_block: int
    batch_wall_ns: float
    """Without tracing, as the next two."""
    batch_worker_cpu_ns: float
    batch_consumer_cpu_ns: float
    tracing: Difference
    nothing: Difference
    """The control: without tracing against without tracing."""
    known_cost: Difference
    """`BUSY_NS` per batch in the workers."""
    sampler_cpu_ratio: Estimate
    """Of one CPU."""
    lost_with_sampler_ratio: Estimate
    """Samples/s lost to tracing, and all that the sampler uses of a CPU."""
    told_ns_per_batch: float
    """What the run itself says that tracing took of its workers."""


def estimate(values: Sequence[float]) -> Estimate:
    """Return the median and its interval."""
    drawn = np.random.default_rng(1).choice(values, (RESAMPLES, len(values)))
    low, high = np.quantile(np.median(drawn, axis=1), (0.025, 0.975))
    return Estimate(float(np.median(values)), float(low), float(high))


def pairs_of(rounds: Sequence[Round]) -> list[list[Round]]:
    """Return the rounds of each pair; those that warm up, and what would not fill a pair, are left out."""
    steady = rounds[WARM_UP_ROUNDS:]
    size = len(steady) // PAIRS
    if not size:
        raise SystemExit(f"only {len(steady)} rounds, fewer than the {PAIRS} pairs: use more --seconds")
    return [list(steady[first : first + size]) for first in range(0, size * PAIRS, size)]


def sums(pairs: Sequence[Sequence[Round]], arm: Arm, of: Callable[[Cost], float]) -> list[float]:
    """Return the sum over each pair."""
    return [sum(of(one[arm]) for one in rounds) for rounds in pairs]


def difference(pairs: Sequence[Sequence[Round]], arm: Arm, measured: int) -> Difference:
    """Return what an arm costs more than the one without tracing."""

    def both(of: Callable[[Cost], float]) -> list[tuple[float, float]]:
        return list(zip(sums(pairs, arm, of), sums(pairs, "bare", of), strict=True))

    batches = measured * len(pairs[0])
    return Difference(
        samples_per_s_lost_ratio=estimate([1 - bare / more for more, bare in both(lambda cost: cost.wall_ns)]),
        more_cpu_ratio=estimate(
            [more / bare - 1 for more, bare in both(lambda cost: cost.workers_ns + cost.consumer_ns)]
        ),
        worker_cpu_ns_per_batch=estimate(
            [(more - bare) / batches for more, bare in both(lambda cost: cost.workers_ns)]
        ),
        consumer_cpu_ns_per_batch=estimate(
            [(more - bare) / batches for more, bare in both(lambda cost: cost.consumer_ns)]
        ),
    )  # fmt: skip


def sampler_ratios(directory: Path) -> list[float]:
    """Return what the sampler used of one CPU, over stretches of about two seconds."""
    rows = [row for row in load_trace(directory).host.to_pylist() if row["metric"] == "sampler_cpu_s_total"][1::10]
    return [
        (after["value"] - before["value"]) / ((after["time_ns"] - before["time_ns"]) / 1e9)
        for before, after in itertools.pairwise(rows)
    ]


def told_ns_per_batch(summary: Summary, batches: int, worker_ns: float) -> float:
    """Return what the run says that tracing took of its workers' time, batch by batch."""
    return (summary.overhead.share_of_worker_time or 0.0) * worker_ns / batches


def measure(plan: RunPlan, prepared: Prepared, *, measured: int, seconds: float, file_bytes: int) -> Result:
    """Record one run of all arms, and compare them."""
    knobs = cast("TorchParams", plan.spec.loader_params)
    loader = Alternating(knobs, measured=measured, seconds=seconds)
    recording = Recording(replace(plan, loader=loader), prepared, ["bench"], Silent())
    recording.run()
    rounds = loader.session.rounds if loader.session is not None else []
    pairs = pairs_of(rounds)
    trace = load_trace(recording.directory)
    overhead = trace.run.overhead
    tracing, sampler = difference(pairs, "traced", measured), estimate(sampler_ratios(recording.directory))
    lost = tracing.samples_per_s_lost_ratio

    def per_batch(of: Callable[[Cost], float]) -> float:
        return statistics.median(sums(pairs, "bare", of)) / (measured * len(pairs[0]))

    return Result(
        file_bytes=file_bytes,
        pairs=len(pairs),
        rounds=len(pairs) * len(pairs[0]),
        batches_per_block=measured,
        batch_wall_ns=per_batch(lambda cost: cost.wall_ns),
        batch_worker_cpu_ns=per_batch(lambda cost: cost.workers_ns),
        batch_consumer_cpu_ns=per_batch(lambda cost: cost.consumer_ns),
        tracing=tracing,
        nothing=difference(pairs, "bare again", measured),
        known_cost=difference(pairs, "busy", measured),
        sampler_cpu_ratio=sampler,
        lost_with_sampler_ratio=Estimate(
            lost.median + sampler.median, lost.low + sampler.low, lost.high + sampler.high
        ),
        told_ns_per_batch=told_ns_per_batch(
            summarise(trace), overhead.batches, overhead.worker_time_ns
        ) if overhead is not None and overhead.batches else float("nan"),
    )  # fmt: skip


def percent(ratio: float) -> str:
    """Return a share as text."""
    return f"{ratio:.2%}"


def micros(span_ns: float) -> str:
    """Return a time as text."""
    return f"{span_ns / 1e3:.1f} µs"


def told(name: str, one: Difference) -> str:
    """Return a line of the result."""
    return (
        f"  {name:<26}{one.samples_per_s_lost_ratio.told(percent)} of samples/s; "
        f"{one.more_cpu_ratio.told(percent)} more CPU time: "
        f"{one.worker_cpu_ns_per_batch.told(micros)} per batch in the workers, "
        f"{one.consumer_cpu_ns_per_batch.told(micros)} in the consumer"
    )


def show(result: Result) -> None:
    """Print the result of one file size."""
    worker, consumer = micros(result.batch_worker_cpu_ns), micros(result.batch_consumer_cpu_ns)
    print(
        f"  a batch without tracing takes {micros(result.batch_wall_ns)}: {worker} on CPU in the workers, {consumer} "
        f"in the consumer; {result.pairs} pairs of {result.rounds // result.pairs} blocks each, "
        f"{result.batches_per_block} batches per block"
    )
    print(told("tracing takes", result.tracing))
    print(told("nothing (control)", result.nothing))
    print(told(f"{micros(BUSY_NS)} wasted (control)", result.known_cost))
    print(f"  the host's sampler uses   {result.sampler_cpu_ratio.told(percent)} of one CPU")
    print(f"  together at most          {result.lost_with_sampler_ratio.told(percent)} of samples/s")
    print(f"  the run's own figure      {micros(result.told_ns_per_batch)} per batch in the workers", flush=True)


def plan_of(file_size: str, files: int, workers: int, store: str, results: str) -> RunPlan:
    """Return a run that only reads, as fast as it can."""
    flags = [
        ("store", store), ("files", str(files)), ("file-size", file_size), ("workers", str(workers)), ("epochs", "1"),
        ("accelerator", "none"), ("batch-size", "64"), ("cache", "warm"), ("results", results),
    ]  # fmt: skip
    return plan_run(resolve(raw_spec("small-files", flags, ["run.probe=false"], [])))


def main() -> None:
    """Prepare a dataset of each size and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--file-sizes", nargs="+", default=["64KiB", "4KiB"])
    parser.add_argument("--dataset-size", default="512MiB", help="of each file size, but 40,000 files at most")
    parser.add_argument("--seconds", type=float, default=90.0, help="that the blocks of each file size take")
    parser.add_argument("--batches", type=int, default=16, help="measured batches of a block")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", default=None, help="where the datasets and runs are made, and removed")
    parser.add_argument("--json", type=Path, default=None, help="file for the results, replaced")
    options = parser.parse_args()
    if options.workers * 2 > LED_OUT:
        parser.error(f"--workers {options.workers}: {LED_IN} batches before and after a block would be in flight")
    results = []
    for file_size in options.file_sizes:
        file_bytes = parse_bytes(file_size)
        files = min(40_000, parse_bytes(options.dataset_size) // file_bytes)
        with tempfile.TemporaryDirectory(prefix="ioprof-bench-", dir=options.folder) as scratch:
            plan = plan_of(file_size, files, options.workers, f"{scratch}/store", f"{scratch}/results")
            prepared = prepare(plan.store, plan.spec.workload, plan.layout)
            print(f"{files:,} files of {file_size}, batches of 64, {options.workers} workers")
            results.append(
                measure(plan, prepared, measured=options.batches, seconds=options.seconds, file_bytes=file_bytes)
            )
            show(results[-1])
    if options.json is not None:
        host = {"machine": platform.machine(), "kernel": platform.release(), "python": platform.python_version()}
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(
            json.dumps({"host": host, "results": [asdict(one) for one in results]}, indent=1) + "\n"
        )


if __name__ == "__main__":
    main()
