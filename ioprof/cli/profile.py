"""`ioprof profile`: someone's own training, with no edit."""

from __future__ import annotations

import os
from pathlib import Path

from ioprof.cli.console import talk
from ioprof.profile.launch import program_words, run_program, watching_environment
from ioprof.profile.session import ProfileSession, Wanted, profile_session
from ioprof.trace.results_folder import check_results


def profile_command(words: list[str], *, results: Path, label: str | None, quiet: bool) -> int:
    """Run a program with its loaders watched, and report them; return the program's exit code.

    Its own output is left alone: what is said of it goes to stderr.

    Raises:
        UsageError: there is no such program.
        RunDirectoryError: the results folder is not writable.
    """
    program = program_words(words)
    check_results(results)
    with profile_session(Wanted(results=str(results.absolute()), label=label, command=program)) as session:
        exit_code = run_program(program, watching_environment(session, os.environ))
        _tell(session, exit_code, quiet=quiet)
    return exit_code


def _tell(session: ProfileSession, exit_code: int, *, quiet: bool) -> None:
    # What follows loads libraries that start threads, and so must not be imported before the program has ended.
    from ioprof.api import load
    from ioprof.cli.report import print_report
    from ioprof.profile.ended import complete, with_loaders

    console, directories = talk(), session.run_directories()
    for problem in [*complete(directories, exit_code), *_unwatched(session, directories)]:
        console.print(f"ioprof: {problem}", soft_wrap=True, markup=False)
    if quiet:
        return
    shown = [one for directory in directories for one in with_loaders(directory)]
    for directory in shown[:1]:
        run = load(directory)
        console.print()
        print_report(run.summary, run.record, console=console)
    for directory in shown:
        console.print(f"ioprof report {os.path.relpath(directory)}", style="dim", soft_wrap=True, markup=False)


def _unwatched(session: ProfileSession, directories: list[Path]) -> list[str]:
    """Return what was not seen, and why."""
    told = [f"not watched: {reason}" for reason in session.unwatched()]
    if not directories and not told:
        told.append("nothing was watched: the program iterated over no torch DataLoader")
    return told
