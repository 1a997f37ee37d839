"""The self-test: every case run through the real runner in a folder that is removed afterwards."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ioprof import api
from ioprof.errors import ResultsFullError, StoreFullError
from ioprof.host.other_load import OtherLoad, other_load
from ioprof.selftest.cases import Case
from ioprof.selftest.expected import NOTHING
from ioprof.selftest.judge import rows_of
from ioprof.selftest.plain import Held, OwnCosts, own_costs
from ioprof.selftest.row import Row
from ioprof.units import format_bytes

ROOM_BYTES = 64 << 20
"""What data, trace and results of the largest case take at once, with room to spare."""
QUIET_CORES = 0.2
"""CPU used by others, in cores, up to which a host counts as quiet."""
_PLAIN_BATCHES = 16
STRAYED = 0.03
"""Beyond this the throttle itself missed what it was asked for: the host was not quiet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """A case that ran."""

    case: Case
    rows: list[Row]
    load: OtherLoad | None
    """What others did to the CPUs just before it; None: this host does not tell."""


def run_cases(cases: list[Case], on_case: Callable[[int, Case], None]) -> Iterator[Finished]:
    """Run the cases one after the other.

    Args:
        cases: what to run.
        on_case: told the number, from 1, and the case that begins.

    Raises:
        ResultsFullError: the folder for temporary files has no room for data and results.
        IoprofError: a run failed.
    """
    with tempfile.TemporaryDirectory(prefix="ioprof-selftest-") as scratch, _full_disk_told():
        free_bytes = shutil.disk_usage(scratch).free
        if free_bytes < ROOM_BYTES:
            raise ResultsFullError(f"{format_bytes(free_bytes)} are free, and it takes {format_bytes(ROOM_BYTES)}")
        for number, case in enumerate(cases, 1):
            on_case(number, case)
            folder = Path(scratch, str(number))
            load = other_load()
            run = api.run(case.sections(folder))
            yield Finished(case=case, rows=rows_of(case, run, _own_costs(case, folder)), load=load)
            shutil.rmtree(folder)


@contextlib.contextmanager
def _full_disk_told() -> Iterator[None]:
    """Name what can be changed: a self-test's folder is temporary, and nothing of it is kept.

    Raises:
        ResultsFullError: the disk is full.
    """
    try:
        yield
    except (ResultsFullError, StoreFullError) as error:
        told = f"{tempfile.gettempdir()}: no room for the self-test: {error.__cause__ or error}"
        raise ResultsFullError(f"{told}; free some space there, or set TMPDIR to another folder") from error


def _own_costs(case: Case, folder: Path) -> OwnCosts:
    """Return what a plain program takes for batches of the same files, right after the run."""
    if not case.sleeps and not case.is_alone:
        return NOTHING
    files = sorted(str(path) for path in case.data(folder).rglob("*") if path.is_file() and path.name.isdigit())
    batches = [files[start : start + case.batch_size] for start in range(0, len(files), case.batch_size)]
    held = Held(open_ns=case.open_ns // 4, read_ns=case.held_read_ns // 4)
    return own_costs(case.loader, batches[:_PLAIN_BATCHES], held, case.compute_ns)


def disturbance(finished: list[Finished]) -> str | None:
    """Return what disturbed the self-test, in a sentence; None: the host was quiet."""
    loads = [one.load for one in finished if one.load is not None]
    busiest = max(loads, key=lambda load: load.cores + load.steal_cores, default=None)
    told = []
    if busiest is not None and busiest.cores + busiest.steal_cores > QUIET_CORES:
        names = f" ({', '.join(busiest.busiest)})" if busiest.busiest else ""
        told.append(f"others used up to {busiest.cores + busiest.steal_cores:.1f} CPUs{names}")
    rows = [row for one in finished for row in one.rows]
    strayed = max((abs(row.strayed) for row in rows if row.decided_by == "throttle"), default=0.0)
    if strayed > STRAYED:
        told.append(f"the throttle could not keep its word by up to {100 * strayed:.0f} %")
    off = max((abs(row.strayed) for row in rows if row.decided_by == "cpu"), default=0.0)
    if off > STRAYED:
        told.append(
            f"decoding, which the CPU's speed decides, took up to {100 * off:.0f} % more or less than asked for"
        )
    return f"This host was not quiet: {'; '.join(told)}. Errors may be the host's." if told else None
