"""Which loaders can deliver a workload: by how its samples are reached, and by the format that they stand in."""

from __future__ import annotations

from ioprof.contract import Access, Loader, StoredWorkload, Workload
from ioprof.errors import SpecError
from ioprof.plugins import find_loader, list_loaders
from ioprof.store.base import Store
from ioprof.store.throttled import ThrottledStore

_HOW: dict[Access, str] = {"map": "by sample number", "stream": "front to back"}


def check_fits(workload: Workload, loader: type[Loader]) -> None:
    """Refuse a loader that cannot deliver the workload, and name those that can.

    Raises:
        SpecError: it takes only the other kind of access, or other formats.
    """
    refusal = _refusal(workload, loader)
    if refusal is None:
        return
    raise SpecError(f"loader.name = {loader.name!r}: {refusal}; use --loader {_fitting(workload)}")


def check_throttle_reaches(workload: Workload, loader: type[Loader], store: Store) -> None:
    """Refuse a loader whose reads a throttled store cannot hold back: its figures would be those of the store below.

    Raises:
        SpecError: the loader does not read through the taps, and the store is throttled.
    """
    if not isinstance(store, ThrottledStore) or _is_tapped(loader):
        return
    raise SpecError(
        f"loader.name = {loader.name!r}: it reads by itself ({loader.capabilities.reads_with}), past the throttle of "
        f"the store; use --loader {_fitting(workload, tapped=True)}, or a store without throttle+"
    )


def _is_tapped(loader: type[Loader]) -> bool:
    return loader.capabilities.reads_with in ("python", "nothing")


def _fitting(workload: Workload, *, tapped: bool = False) -> str:
    """Return the installed loaders that can deliver a workload."""
    known = (find_loader(one.name) for one in list_loaders() if one.missing is None)
    names = [
        one.name
        for one in known
        if one.reads_storage and _refusal(workload, one) is None and (not tapped or _is_tapped(one))
    ]
    return " or ".join(names) or "(none installed does)"


def _refusal(workload: Workload, loader: type[Loader]) -> str | None:
    """Return why a loader cannot deliver a workload; None if it can."""
    if workload.access not in loader.accepts:
        return f"{workload.name} is read {_HOW[workload.access]}, which {loader.name} does not do"
    formats = loader.capabilities.formats
    if not formats:
        return None
    reads = f"{loader.name} reads {', '.join(sorted(formats))}"
    if not isinstance(workload, StoredWorkload):
        return f"{reads}, and {workload.name} does not say in which format its samples stand"
    stored = workload.stored_format
    return None if stored in formats else f"{reads}, and the samples of {workload.name} are stored as {stored} here"
