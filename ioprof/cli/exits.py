"""How commands end: errors become one line on stderr and the exit code of their branch."""

from __future__ import annotations

import contextlib
import functools
import os
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec

import typer

from ioprof.errors import IoprofError, UsageError, nearest

_Words = ParamSpec("_Words")


def reported(command: Callable[_Words, int]) -> Callable[_Words, None]:
    """Wrap a command: its return value is the exit code; what it raises is told in one line."""

    @functools.wraps(command)
    def wrapped(*args: _Words.args, **kwargs: _Words.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
            sys.stdout.flush()
        except IoprofError as error:
            _end(_told("error: " + " ".join(str(error).splitlines()), error), error.exit_code)
        except KeyboardInterrupt as interrupt:
            # Interrupted carries its signal; a plain KeyboardInterrupt is SIGINT.
            _end(_told("interrupted", interrupt), getattr(interrupt, "exit_code", 130))
        except BrokenPipeError:
            # The reader of our output went away (`| head`).
            _drop_output()
            sys.exit(0)
        if code:
            sys.exit(code)

    return wrapped


def usage_errors_as_ours(app: typer.Typer) -> int:
    """Run the command line and return its exit code; words that it does not understand are told like any other error.

    Raises:
        UsageError: a missing argument, an unknown flag or command, a value that is none.
    """
    try:
        code = app(prog_name="ioprof", standalone_mode=False)
    except typer.TyperException as error:
        raise UsageError(_in_one_line(error)) from error
    return code if isinstance(code, int) else 0


def _in_one_line(error: typer.TyperException) -> str:
    """Return what is wrong, and where to look; what kind of error it is, its own attributes tell."""
    told = " ".join(error.format_message().split()).rstrip(".").replace(". Did you", "; did you")
    if hasattr(error, "possibilities"):
        flag = str(getattr(error, "option_name", ""))
        told = f"{flag}: no such flag{nearest(flag, error.possibilities or ())}"
    # A flag without its value is found before there is a context: by the words of a command, the first of which it is.
    first = next((word for word in sys.argv[1:] if not word.startswith("-")), "")
    command = getattr(getattr(error, "ctx", None), "command_path", f"ioprof {first}".rstrip())
    return f"{told[:1].lower()}{told[1:]} (see {command} --help)"


def _told(ending: str, error: BaseException) -> str:
    """Return how the command ended, and a line for each further problem that was noted on the way out."""
    notes = dict.fromkeys(getattr(error, "__notes__", ()))
    return "\n".join([f"ioprof: {ending}", *(f"ioprof: error: {note}" for note in notes)])


def _end(message: str, code: int) -> NoReturn:
    if "://" in message:
        # Imported here: this module brings fsspec along. Whoever wrote the message may have quoted a URL as given.
        from ioprof.store.fsspec_store import without_credentials

        message = without_credentials(message)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_output()
    with contextlib.suppress(BrokenPipeError):
        print(message, file=sys.stderr, flush=True)
    sys.exit(code)


def _drop_output() -> None:
    """Keep the interpreter from writing the rest at its end, which would fail again and change the exit code."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
