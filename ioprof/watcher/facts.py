"""What run.json says of a watched loader: its settings, as far as the object tells, and what nobody told."""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from ioprof import __version__
from ioprof.errors import SpecError
from ioprof.host.facts import clock_facts, host_facts, package_versions
from ioprof.trace.run_record import (
    AUTO,
    AcceleratorRecord,
    CacheRecord,
    OverheadRecord,
    RunRecord,
    Scalar,
    WorkloadRecord,
)
from ioprof.watcher.timeline import HostTimeline, Timeline

WORKLOAD = "watched"
FEWEST_WARMUP = 5
"""Steps that are left out in any case where the run finds its warm-up by itself."""
_USUAL_PREFETCH = 2
"""What torch takes where a loader without workers is given some."""
_COMMAND = "ioprof.watch"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderFacts:
    """What a loader's object tells of itself; None: it does not."""

    name: str
    """Its class."""
    is_torch: bool
    """A torch DataLoader, whose workers can be watched."""
    access: Literal["map", "stream"] | None
    workers: int | None
    prefetch: int | None
    batch_size: int | None
    in_order: bool
    settings: dict[str, Scalar]
    """As the section ``loader`` of the spec."""
    samples: int | None
    """Of one pass."""
    steps: int | None
    """Batches of one pass."""


def torch_loader(loader: object) -> object | None:
    """Return the torch DataLoader that an object is or, as accelerate's does, passes everything on to; None: none."""
    data = sys.modules.get("torch.utils.data")
    if data is None:
        return None
    inner = getattr(loader, "__dict__", {}).get("base_dataloader", loader)
    return cast("object", inner) if isinstance(inner, data.DataLoader) else None


def facts_of(loader: object) -> LoaderFacts:
    """Return what a loader tells of itself; nothing of it is iterated over."""
    inner, name = torch_loader(loader), type(loader).__name__
    if inner is None:
        return LoaderFacts(
            name=name, is_torch=False, access=None, workers=None, prefetch=None, batch_size=None, in_order=True,
            settings={}, samples=None, steps=_length(loader),
        )  # fmt: skip
    workers = _integer(inner, "num_workers") or 0
    prefetch = _integer(inner, "prefetch_factor") or _USUAL_PREFETCH
    sampler = getattr(inner, "batch_sampler", None)
    batch_size = _integer(inner, "batch_size") or _integer(sampler, "batch_size")
    dataset = getattr(inner, "dataset", None)
    is_stream = isinstance(dataset, sys.modules["torch.utils.data"].IterableDataset)
    in_order = getattr(inner, "in_order", True) is not False
    return LoaderFacts(
        name=name,
        is_torch=True,
        access="stream" if is_stream else "map",
        workers=workers,
        prefetch=prefetch,
        batch_size=batch_size,
        in_order=in_order,
        settings={
            "workers": workers,
            "prefetch": prefetch,
            "batch_size": batch_size,
            "persistent": bool(getattr(inner, "persistent_workers", False)),
            "pin": bool(getattr(inner, "pin_memory", False)),
            "start_method": _start_method(inner) if workers else None,
            "in_order": in_order,
            "drop_last": bool(getattr(inner, "drop_last", False)),
        },
        samples=None if is_stream else _length(dataset),
        steps=None if is_stream else _length(inner),
    )


def _integer(owner: object, name: str) -> int | None:
    value = getattr(owner, name, None)
    return value if isinstance(value, int) else None


def _length(sized: object) -> int | None:
    """Return a length where there is one; asking must change nothing and end nothing."""
    try:
        return len(cast("Sized", sized))
    except Exception:  # noqa: BLE001 - the user's own method may raise whatever it likes
        return None


def _start_method(loader: object) -> str:
    context = getattr(loader, "multiprocessing_context", None)
    if context is not None:
        return str(context.get_start_method())
    # Asked without allow_none, Python would settle on a method, and a later set_start_method would fail.
    return multiprocessing.get_start_method(allow_none=True) or multiprocessing.get_all_start_methods()[0]


def checked_warmup(warmup: int | str) -> int | str:
    """Return the warm-up that was asked for.

    Raises:
        SpecError: it is no number of steps, and not ``auto``.
    """
    if warmup == AUTO or (isinstance(warmup, int) and not isinstance(warmup, bool) and warmup >= 0):
        return warmup
    raise SpecError(f"warmup = {warmup!r}: give a number of steps, 0 or more, or 'auto'")


def warmup_steps(warmup: int | str) -> int:
    """Return how many steps are left out of the figures in any case."""
    return FEWEST_WARMUP if isinstance(warmup, str) else warmup


def measured_accelerator(timed: Timeline) -> AcceleratorRecord:
    """Return what consumes the batches: whatever the program does with them; how long that takes shows at the end."""
    return AcceleratorRecord(
        name=timed.name,
        count=1,
        busy_ns_per_batch=None,
        source=timed.source,
        is_estimate=False,
        is_measured=True,
        h2d_bytes_per_s=None,
    )


def first_record(
    facts: LoaderFacts, *, started_utc: str, label: str | None, warmup: int | str, overhead: OverheadRecord | None
) -> RunRecord:
    """Return the record of a watched loader that is about to be used.

    Args:
        facts: of the loader.
        started_utc: when, as in ISO 8601.
        label: the user's.
        warmup: steps to leave out, or ``auto``.
        overhead: what tracing costs here.
    """
    return RunRecord(
        ioprof_version=__version__,
        outcome="running",
        started_utc=started_utc,
        # The arguments of a program may hold anything, a token too: its name is enough.
        command=[_COMMAND, Path(sys.argv[0]).name if sys.argv else ""],
        label=label,
        seed=None,
        spec={"loader": facts.settings, "run": {"warmup": warmup}},
        workload=WorkloadRecord(
            name=WORKLOAD,
            access=facts.access,
            samples_per_epoch=facts.samples,
            steps_per_epoch=facts.steps,
            objects=None,
            total_bytes=None,
            reads_storage=True,
        ),
        loader=facts.name,
        batch_size=facts.batch_size,
        accelerator=measured_accelerator(HostTimeline()),
        cache=CacheRecord(requested="asis"),
        store={},
        host=host_facts(),
        versions=package_versions(),
        clock=clock_facts(),
        warmup_steps=warmup_steps(warmup),
        overhead=overhead,
    )
