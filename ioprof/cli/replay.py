"""`ioprof replay`: the accesses of a recorded run, repeated on a store."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from ioprof import api
from ioprof.cli.console import results, talk
from ioprof.cli.prepare import prepare_with_progress
from ioprof.cli.report import print_report
from ioprof.cli.show import LiveObserver
from ioprof.contract import START_METHODS
from ioprof.dataset.place import place
from ioprof.dataset.prepare import dataset_path, still_needed
from ioprof.dataset.room import total_bytes
from ioprof.errors import UsageError, nearest
from ioprof.replay.replaying import Asked, Replay, plan_replay, run_replay
from ioprof.runner.interrupt import interruptible
from ioprof.runner.observer import Silent
from ioprof.spec.model import CacheState, StoreSection
from ioprof.trace.replay_record import Pace
from ioprof.trace.results_folder import check_results
from ioprof.units import format_bytes, format_count, format_duration

SMALLER = "a shorter run"
DEFAULT_STORE = str(StoreSection.model_fields["url"].default)
PACES: tuple[Pace, ...] = ("closed", "open", "fastest")
CACHE_STATES: tuple[CacheState, ...] = ("cold", "warm", "asis")
_LABEL = re.compile(r"[A-Za-z0-9._-]{1,64}")
_Word = TypeVar("_Word", bound=str)


def _one_of(flag: str, given: str, known: Sequence[_Word]) -> _Word:
    """Return the known word that was given.

    Raises:
        UsageError: it is none of them.
    """
    found = next((word for word in known if word == given), None)
    if found is None:
        raise UsageError(f"{flag} {given}: none of {', '.join(known)}{nearest(given, known)}")
    return found


def _label(given: str | None) -> str | None:
    if given is not None and not _LABEL.fullmatch(given):
        raise UsageError(f"--label {given}: up to 64 letters, digits, '.', '_' and '-'")
    return given


def replay_command(
    directory: Path,
    *,
    store: str | None,
    pace: str,
    anonymise: bool,
    fill: bool,
    cache: str | None,
    start_method: str,
    results: str | None,
    label: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
) -> int:
    """Repeat a run, and print what the store made of it.

    Raises:
        UsageError: a flag's value makes no sense.
        IoprofError: the run cannot be read, repeated or stored.
    """
    asked = Asked(
        store_url=store or DEFAULT_STORE,
        pace=_one_of("--pace", pace, PACES),
        anonymise=anonymise,
        fill=fill,
        cache=None if cache is None else _one_of("--cache", cache, CACHE_STATES),
        results=results or "./results",
        label=_label(label),
        start_method=_one_of("--start-method", start_method, START_METHODS),
    )
    replay = plan_replay(directory, asked)
    if dry_run:
        _print_plan(replay, as_json=as_json)
        return 0
    check_results(Path(asked.results))
    with interruptible():
        finished = _prepared_and_run(replay, as_json=as_json, quiet=quiet)
    _print_result(finished, as_json=as_json)
    if not quiet:
        talk().print(f"[dim]run directory: {os.path.relpath(finished.directory)}[/dim]", soft_wrap=True)
    return 0


def _prepared_and_run(replay: Replay, *, as_json: bool, quiet: bool) -> api.Run:
    console = talk()
    staging = replay.staging
    prepared = prepare_with_progress(
        replay.store, staging.name, staging.layout, console=console, quiet=quiet, verify=False, smaller=SMALLER
    )
    observer = Silent() if quiet else LiveObserver(console)
    try:
        return run_replay(replay, prepared, ["ioprof", *sys.argv[1:]], observer)
    except api.RecordingStoppedError as stopped:
        if as_json:
            with contextlib.suppress(BrokenPipeError):
                _print_result(stopped.run, as_json=True)
        console.print(f"partial run kept: {os.path.relpath(stopped.run.directory)}", soft_wrap=True)
        raise stopped.cause from None


def _print_result(finished: api.Run, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(json.loads(finished.summary.to_json()), indent=2), flush=True)
    else:
        print_report(finished.summary, finished.record, console=results())


def _print_plan(replay: Replay, *, as_json: bool) -> None:
    """Say what would be written and repeated."""
    staging, found = replay.staging, replay.recorded
    needed = still_needed(replay.store, staging.name, staging.layout)
    loading = found.loading
    seconds = float(loading.end_ns.max() - loading.start_ns.min()) / 1e9
    facts = {
        "dataset": place(replay.store.at(dataset_path(staging.name, staging.layout))),
        "kind": staging.dataset,
        "objects": staging.layout.count,
        "bytes": total_bytes(staging.layout),
        "still_needed_bytes": needed.size_bytes,
        "operations": replay.operations,
        "lanes": found.lanes,
        "epochs": found.epochs,
        "recorded_s": seconds,
        "pace": replay.asked.pace,
        "left_out": found.left_out,
        "caveats": list(replay.caveats),
    }
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    to_write = format_bytes(needed.size_bytes) if needed.size_bytes else "nothing: it is complete"
    lines = [
        f"dataset     {facts['dataset']} ({staging.dataset})",
        f"objects     {format_count(staging.layout.count)}, {format_bytes(total_bytes(staging.layout))}; "
        f"still to write: {to_write}",
        f"operations  {replay.operations:,} by {found.lanes} lanes in {format_duration(seconds * 1e9)} as recorded, "
        f"epochs: {found.epochs}",
        f"pace        {replay.asked.pace}",
        *(f"left out    {count:,}: {why}" for why, count in found.left_out.items()),
        *(f"! {caveat}" for caveat in replay.caveats),
    ]
    print("\n".join(lines))
