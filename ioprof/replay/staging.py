"""What a replay puts on the store: the recorded run's own dataset, made anew, or a stand-in for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import ValidationError

from ioprof.contract import Layout
from ioprof.dataset.manifest import size_blocks
from ioprof.errors import PluginError, RunError
from ioprof.plugins import find_workload
from ioprof.replay.accesses import Recorded
from ioprof.replay.names import anonymised, anonymising_key, relative_paths
from ioprof.replay.stand_in import StandInLayout, needed_sizes, numbered_path
from ioprof.trace.object_table import ObjectTable, read_objects
from ioprof.trace.run_record import RunRecord

STAND_IN = "stand-in"
MOST_OBJECTS = 20_000_000
"""Each of a stand-in's objects takes some hundred bytes of memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Staging:
    """The objects that the accesses go to."""

    name: str
    """First part of the dataset directory's name."""
    layout: Layout
    dataset: Literal["prepared", "stand-in"]
    caveats: tuple[str, ...] = ()


def staged(directory: Path, run: RunRecord, recorded: Recorded, *, anonymise: bool) -> Staging:
    """Return the objects of a recorded run.

    Raises:
        RunError: its dataset cannot be made anew.
        RunDirectoryError: its table of objects is damaged.
        UsageError: the key for hiding names is too short.
    """
    table = read_objects(directory)
    own = _own_layout(run) if table is None and not recorded.openings else None
    if own is not None and not anonymise:
        _check_reach(own.count, recorded)
        return Staging(name=run.workload.name, layout=own, dataset="prepared")
    paths, sizes_bytes, caveats = _objects(own, table, recorded)
    if anonymise:
        paths = anonymised(paths, anonymising_key())
    layout = StandInLayout(paths, sizes_bytes, run.seed or 0)
    return Staging(name=STAND_IN, layout=layout, dataset="stand-in", caveats=caveats)


def _own_layout(run: RunRecord) -> Layout | None:
    """Return the layout of the recorded run's workload; None where it made no dataset of its own.

    Raises:
        RunError: its parameters no longer make sense.
    """
    try:
        workload = find_workload(run.workload.name)
    except PluginError:
        return None
    given = {key: value for key, value in run.spec.get("workload", {}).items() if key != "name"}
    try:
        return workload(workload.Params.model_validate(given), run.seed or 0).layout()
    except (ValidationError, ValueError, OSError) as error:
        first = str(error).splitlines()[0]
        raise RunError(
            f"the dataset of the recorded run cannot be made anew: {run.workload.name} refuses its parameters ({first})"
        ) from error


def _objects(
    own: Layout | None, table: ObjectTable | None, recorded: Recorded
) -> tuple[list[str], np.ndarray[tuple[int, ...], np.dtype[np.int64]], tuple[str, ...]]:
    """Return paths, sizes and what is to be said of them."""
    accesses = (recorded.loading, recorded.discovery)
    reached = 1 + max((int(one.object.max()) for one in accesses if len(one)), default=-1)
    if max(reached, 0 if own is None else own.count) > MOST_OBJECTS:
        raise RunError(f"{reached:,} objects: a stand-in may have {MOST_OBJECTS:,} at most")
    if own is not None:
        _check_reach(own.count, recorded)
        sizes = np.concatenate(list(size_blocks(own))).astype(np.int64)
        return relative_paths([own.path(index) for index in range(own.count)]), sizes, ()
    count = max(reached, 0 if table is None else len(table.paths))
    sizes = needed_sizes(accesses, count)
    known = () if table is None else table.sizes_bytes
    for index, size_bytes in enumerate(known):
        sizes[index] = max(int(sizes[index]), size_bytes or 0)
    return _paths(table, count), sizes, _unknown(table, known, recorded.openings)


def _paths(table: ObjectTable | None, count: int) -> list[str]:
    if table is None:
        return [numbered_path(index) for index in range(count)]
    numbered = [f"unnamed/{numbered_path(index)}" for index in range(len(table.paths), count)]
    return relative_paths(table.paths) + numbered


def _unknown(table: ObjectTable | None, known: Sequence[int | None], openings: int) -> tuple[str, ...]:
    if openings:
        return (
            f"The run does not say which objects it read: each of {openings:,} openings counts as an object of its "
            "own, as large as what was read of it; of a file that was read twice the stand-in has two.",
        )
    if table is None:
        return (
            "The run does not name its objects: the stand-in's are numbered, a thousand in a directory, and as large "
            "as what was read of them.",
        )
    unknown = sum(size is None for size in known)
    if not unknown:
        return ()
    return (
        f"Of {unknown:,} objects the run does not know the size: in the stand-in they are as large as what was read.",
    )


def _check_reach(count: int, recorded: Recorded) -> None:
    for one in (recorded.loading, recorded.discovery):
        if len(one) and int(one.object.max()) >= count:
            raise RunError(
                f"the run read object {int(one.object.max()):,}, and its dataset made anew has {count:,}: it was "
                "recorded by another version of its workload"
            )
