"""``ioprof doctor``: what would spoil a measurement on this host, and what to do about it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from ioprof.contract import WritingWorkload
from ioprof.dataset.clean import find_datasets
from ioprof.dataset.prepare import still_needed
from ioprof.dataset.room import total_bytes
from ioprof.errors import StoreError
from ioprof.host.doctor import Check, DoctorContext, Severity, conclusion, run_checks
from ioprof.host.evidence import shown_url
from ioprof.plugins import find_loader, find_workload
from ioprof.spec.model import RunSpec
from ioprof.store.open_store import open_store

_HEADINGS: dict[Severity, tuple[str, str]] = {
    "problem": ("Problems", "bold red"),
    "warning": ("Warnings", "bold yellow"),
    "note": ("Worth knowing", "bold cyan"),
    "ok": ("As it should be", "bold green"),
}


def doctor_report(store_url: str, *, console: Console, as_json: bool, context: DoctorContext | None = None) -> int:
    """Check this host and the store and print the findings; return the exit code.

    Args:
        store_url: where runs would keep their data.
        console: where results go.
        as_json: print one JSON object instead of text.
        context: what runs would ask for (workers, dataset size...); ``store_url`` alone when left out.

    Returns:
        1 if there is a problem, else 0.
    """
    checks = run_checks(context or context_of_store(store_url))
    if as_json:
        # Written raw: wrapping at the console's width would break strings.
        console.out(to_json(store_url, checks), highlight=False)
    else:
        print_checks(checks, console)
    return 1 if any(check.severity == "problem" for check in checks) else 0


def context_of(spec: RunSpec) -> DoctorContext:
    """Return what a run of ``spec`` would ask of this host and its store; nothing is written."""
    loader = spec.sections(as_text=False)["loader"]
    plugin, workers = find_loader(spec.loader), _number(loader.get("workers"))
    context = DoctorContext(
        store_url=spec.store.url,
        workers=workers,
        prefetch=_number(loader.get("prefetch")),
        shares_memory=plugin.reads_storage and getattr(plugin, "moves_samples", True) and workers != 0,
        writes=spec.checkpoint.every > 0,
    )
    if not plugin.reads_storage:
        return context
    workload = find_workload(spec.workload)(spec.workload_params, spec.run.seed)
    layout = workload.layout()
    size_bytes = total_bytes(layout)
    context = dataclasses.replace(
        context,
        dataset_bytes=size_bytes,
        evicts=spec.run.cache == "cold",
        writes=context.writes or isinstance(workload, WritingWorkload),
        batch_bytes=size_bytes * spec.loader_section.batch_size // max(1, workload.samples()),
    )
    if context.store_path is None:
        return context
    try:
        need = still_needed(open_store(spec.store.url), spec.workload, layout)
    except StoreError as error:
        return dataclasses.replace(context, dataset_refusal=str(error))
    return dataclasses.replace(context, needed_bytes=need.size_bytes, needed_inodes=need.inodes)


def context_of_store(store_url: str) -> DoctorContext:
    """Return what can be asked of a store alone, and how many datasets stand there: a read-only one may serve those."""
    context = DoctorContext(store_url=store_url)
    if context.store_path is None:
        return context
    try:
        found = find_datasets(open_store(store_url))
    except StoreError:
        return context
    return dataclasses.replace(context, standing=sum(one.state == "complete" for one in found))


def _number(value: object) -> int | None:
    return value if isinstance(value, int) else None


def to_json(store_url: str, checks: Sequence[Check]) -> str:
    """Return the findings for machines."""
    found = [dataclasses.asdict(check) for check in checks]
    return json.dumps({"store": shown_url(store_url), "checks": found, "conclusion": conclusion(checks)}, indent=2)


def print_checks(checks: Sequence[Check], console: Console) -> None:
    """Print findings by severity, each with what to do, then the conclusion."""
    for severity, (heading, style) in _HEADINGS.items():
        group = [check for check in checks if check.severity == severity]
        if group:
            console.print(Text(f"{heading} ({len(group)})", style=style))
            for check in group:
                _print_check(check, console)
            console.print()
    console.print(Text(conclusion(checks), style="bold"))


def _print_check(check: Check, console: Console) -> None:
    console.print(Padding(Text.assemble((check.title, "bold"), f": {check.finding}"), (0, 0, 0, 2), expand=False))
    if check.advice:
        console.print(Padding(Text(check.advice, style="dim"), (0, 0, 0, 6), expand=False))
