"""MLPerf Storage's rules, held against a run before it starts.

Checked here is what one of their five runs must keep: the size of the dataset, the published batch and step time,
whole epochs, and results on another filesystem than the data.
Source: mlcommons/storage, rules for training workloads; the numbers are in the workload's own table.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from ioprof.contract import MlperfRules, MlperfWorkload
from ioprof.host.facts import host_facts
from ioprof.runner.plan import RunPlan
from ioprof.spec.model import RunSpec
from ioprof.store.throttled import ThrottledStore
from ioprof.trace.run_record import AcceleratorRecord, MlperfRecord
from ioprof.units import format_bytes

MEMORY_FACTOR = 5
"""The dataset is to be so many times the memory of all hosts, so that no page cache holds much of it."""
MIN_STEPS_PER_RANK = 500


def mlperf_record(plan: RunPlan, memory_bytes: int | None = None) -> MlperfRecord | None:
    """Return what the rules say of the run; None where there are none for its workload.

    Args:
        plan: the parts of the run.
        memory_bytes: memory of this host; None: looked up.
    """
    if not isinstance(plan.workload, MlperfWorkload):
        return None
    rules, accelerator = plan.workload.mlperf_rules(), plan.accelerator.record
    if memory_bytes is None:
        known = host_facts()["memory_bytes"]
        memory_bytes = known if isinstance(known, int) else 0
    against = [
        *rules.deviations,
        *(f"its configuration is not honoured in all: {told}" for told in plan.spec.departures),
        *_size(rules, plan.layout.count, plan.spec.loader_section.batch_size, accelerator.count, memory_bytes),
        *_steps(plan.spec, accelerator, plan.workload.reference_model if _has_model(plan) else None),
        *_epochs(rules, plan.spec),
        *_places(plan.store.local_root, plan.spec.run.results),
        *(["the store is throttled"] if isinstance(plan.store, ThrottledStore) else []),
    ]
    return MlperfRecord(record_bytes=rules.record_bytes, threshold=rules.threshold, not_comparable=against)


def files_needed(rules: MlperfRules, batch_size: int, ranks: int, memory_bytes: int) -> int:
    """Return the least number of files: five times the memory, and 500 steps for each rank."""
    file_bytes = rules.record_bytes * rules.samples_per_file
    by_memory = -(-MEMORY_FACTOR * memory_bytes // file_bytes)
    by_steps = -(-MIN_STEPS_PER_RANK * ranks * batch_size // rules.samples_per_file)
    return max(by_memory, by_steps)


def _has_model(plan: RunPlan) -> bool:
    return plan.workload.reference_model is not None


def _size(rules: MlperfRules, files: int, batch_size: int, ranks: int, memory_bytes: int) -> Iterator[str]:
    needed = files_needed(rules, batch_size, ranks, memory_bytes)
    if files < needed:
        yield (
            f"{files:,} file{'s' * (files != 1)} where {needed:,} are asked for ({MEMORY_FACTOR} x "
            f"{format_bytes(memory_bytes)} of memory, and {MIN_STEPS_PER_RANK} steps)"
        )


def _steps(spec: RunSpec, accelerator: AcceleratorRecord, model: str | None) -> Iterator[str]:
    if accelerator.busy_ns_per_batch is None:
        yield "no accelerator"
    elif model is not None and (spec.accelerator.compute is not None or spec.accelerator.compute_spread is not None):
        yield "a busy time of its own (--compute)"
    elif accelerator.is_estimate:
        yield "no step time was published for this accelerator and batch"


def _epochs(rules: MlperfRules, spec: RunSpec) -> Iterator[str]:
    if spec.run.duration is not None or spec.run.steps is not None:
        yield "ended by its duration or steps"
    elif rules.epochs is not None and spec.run.epochs is not None and spec.run.epochs < rules.epochs:
        yield f"{spec.run.epochs} epochs of {rules.epochs}"


def _places(store_root: str | None, results: str) -> Iterator[str]:
    if store_root is None:
        return
    devices = {_device(Path(store_root)), _device(Path(results))}
    if len(devices) == 1:
        yield "data and results on one filesystem"


def _device(path: Path) -> int:
    """Return the number of the device that holds a path, or will once it is made."""
    path = path.absolute()
    while not path.exists() and path != path.parent:
        path = path.parent
    return os.stat(path).st_dev
