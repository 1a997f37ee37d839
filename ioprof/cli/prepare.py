"""The work of ``ioprof prepare``: put a dataset on a store and show how far it is."""

from __future__ import annotations

from types import TracebackType
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bars

from ioprof.clock import Clock, SystemClock
from ioprof.contract import Layout
from ioprof.dataset.place import place
from ioprof.dataset.prepare import Prepared, prepare
from ioprof.dataset.progress import Phase, Progress, ignore
from ioprof.dataset.room import SMALLER
from ioprof.dataset.verify import Verification
from ioprof.dataset.verify import verify as verify_objects
from ioprof.errors import DatasetError
from ioprof.store.base import Store
from ioprof.units import format_bytes, format_count, format_duration, format_rate_bytes

_LINE_EVERY_NS = 5_000_000_000
_DOING: dict[Phase, str] = {
    "directories": "making directories",
    "write": "preparing",
    "sync": "flushing to the store",
    "verify": "verifying",
    "remove": "removing",
}


class Show(Protocol):
    """Shows progress while its context is open."""

    def __call__(self, progress: Progress) -> None:
        """Take in the newest figures."""
        ...

    def __enter__(self) -> Show: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None: ...


def prepare_with_progress(
    store: Store, name: str, layout: Layout, *, console: Console, quiet: bool, verify: bool, smaller: str = SMALLER
) -> Prepared:
    """Prepare a dataset, show progress on ``console`` and say what was done.

    Args:
        store: the place for datasets.
        name: first part of the dataset directory's name.
        layout: the objects.
        console: where progress goes, usually stderr.
        quiet: show nothing.
        verify: read everything back afterwards.
        smaller: how the dataset can be made smaller, for a refusal.

    Raises:
        StoreError: and those below it: the dataset could not be prepared.
        DatasetError: verification found damaged objects.
    """
    with open_show(console, quiet=quiet) as show:
        try:
            prepared = prepare(store, name, layout, on_progress=show, smaller=smaller)
        except KeyboardInterrupt:
            _say_what_stays(console, quiet=quiet)
            raise
        found = verify_objects(prepared.store, layout, on_progress=show) if verify else None
    if not quiet:
        console.print(prepared_line(prepared), highlight=False, markup=False, soft_wrap=True)
    if found is not None:
        _report_verification(prepared, found, console, quiet=quiet)
    return prepared


def _say_what_stays(console: Console, *, quiet: bool) -> None:
    if not quiet:
        console.print(
            "what was written stays: the same command goes on from there, ioprof clean removes it", soft_wrap=True
        )


def prepared_line(prepared: Prepared) -> str:
    """Return one line that says what stands where, and what it took."""
    manifest = prepared.manifest
    size = f"{format_count(manifest.count)} objects, {format_bytes(manifest.total_bytes)}"
    what = f"{place(prepared.store)}: {size}"
    if prepared.reused:
        return f"{what}; complete already, used as it is"
    seconds = max(prepared.write_seconds, 1e-9)
    rate = f"{format_count(round(prepared.written_objects / seconds))} objects/s"
    line = (
        f"{what}; {format_count(prepared.written_objects)} written in {format_duration(seconds * 1e9)} "
        f"by {_processes(prepared.workers)} ({rate}, {format_rate_bytes(prepared.written_bytes / seconds)})"
    )
    if prepared.sync_seconds:
        line += f", flushed in {format_duration(prepared.sync_seconds * 1e9)}"
    if prepared.resumed_objects:
        line += f"; {format_count(prepared.resumed_objects)} were there from an interrupted preparation"
    return line


def open_show(console: Console, *, quiet: bool, clock: Clock | None = None) -> Show:
    """Return a bar for terminals, lines for files and pipes, or nothing."""
    if quiet:
        return _Silence()
    return _Bar(console, clock or SystemClock()) if console.is_terminal else _Lines(console, clock or SystemClock())


def figures(progress: Progress, elapsed_ns: int) -> str:
    """Return the figures of one moment: done, rate, bandwidth, time left."""
    done = f"{format_count(progress.objects)} of {format_count(progress.total_objects)} objects"
    new_objects = progress.objects - progress.resumed_objects
    if new_objects <= 0 or elapsed_ns <= 0:
        return done
    per_s = new_objects / (elapsed_ns / 1e9)
    left_ns = (progress.total_objects - progress.objects) / per_s * 1e9
    parts = [done, f"{format_count(round(per_s))} objects/s"]
    if progress.total_bytes:
        new_bytes = progress.size_bytes - progress.resumed_bytes
        parts.append(format_rate_bytes(new_bytes / (elapsed_ns / 1e9)))
        # Bytes tell the time left better than objects where sizes differ and bandwidth is the limit.
        left_ns = max(left_ns, (progress.total_bytes - progress.size_bytes) / max(1, new_bytes) * elapsed_ns)
    if left_ns:
        parts.append(f"{format_duration(round(left_ns, -8))} left")
    return " · ".join(parts)


class _Phases:
    """Knows when a phase began, and tells of a continued preparation once."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self.console = console
        self.clock = clock
        self.phase: Phase | None = None
        self.since_ns = 0
        self._told = False

    def enter(self, progress: Progress) -> bool:
        """Return whether a new phase begins."""
        if progress.resumed_objects and not self._told:
            self._told = True
            self.console.print(
                f"continuing an interrupted preparation: {format_count(progress.resumed_objects)} of "
                f"{format_count(progress.total_objects)} objects are there",
                highlight=False,
                markup=False,
            )
        if progress.phase == self.phase:
            return False
        self.phase, self.since_ns = progress.phase, self.clock.now_ns()
        return True


class _Lines:
    """One line every few seconds."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._phases = _Phases(console, clock)
        self._last_ns = 0

    def __call__(self, progress: Progress) -> None:
        now = self._phases.clock.now_ns()
        if self._phases.enter(progress):
            self._last_ns = now
            if progress.phase == "sync":
                self._print(_DOING["sync"])
        elif now - self._last_ns >= _LINE_EVERY_NS:
            self._last_ns = now
            self._print(f"{_DOING[progress.phase]}: {figures(progress, now - self._phases.since_ns)}")

    def _print(self, line: str) -> None:
        self._phases.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def __enter__(self) -> _Lines:
        return self

    def __exit__(self, *_: object) -> None:
        return


class _Bar:
    """A live bar on a terminal."""

    def __init__(self, console: Console, clock: Clock) -> None:
        self._phases = _Phases(console, clock)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[figures]}"),
            console=console,
            transient=True,
        )
        self._task = self._bars.add_task("preparing", total=None, figures="")

    def __call__(self, progress: Progress) -> None:
        self._phases.enter(progress)
        elapsed_ns = self._phases.clock.now_ns() - self._phases.since_ns
        self._bars.update(
            self._task,
            description=_DOING[progress.phase],
            total=progress.total_objects,
            completed=progress.objects,
            figures="" if progress.phase == "sync" else figures(progress, elapsed_ns),
        )

    def __enter__(self) -> _Bar:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()


class _Silence:
    """Nothing."""

    def __call__(self, progress: Progress) -> None:
        ignore(progress)

    def __enter__(self) -> _Silence:
        return self

    def __exit__(self, *_: object) -> None:
        return


def _report_verification(prepared: Prepared, found: Verification, console: Console, *, quiet: bool) -> None:
    if found.damaged:
        parts = {
            "missing": found.missing,
            "of wrong size": found.wrong_size,
            "of wrong content": found.wrong_content,
            "unreadable": found.unreadable,
        }
        counts = ", ".join(f"{format_count(count)} {what}" for what, count in parts.items() if count)
        first = ", ".join(f"{damage.path} ({damage.problem})" for damage in found.examples)
        raise DatasetError(
            f"{place(prepared.store)}: {format_count(found.damaged)} of {format_count(found.objects)} "
            f"objects are damaged: {counts}; first: {first}. Remove it with ioprof clean and prepare again"
        )
    if not quiet:
        console.print(
            f"verified: {format_count(found.objects)} objects, {format_bytes(found.size_bytes)} read back, "
            "all as written",
            highlight=False,
            markup=False,
        )


def _processes(workers: int) -> str:
    return f"{workers} processes" if workers > 1 else "one process"
