"""How commands end: errors become one line on stderr and the exit code of their branch."""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec

from ioprof.errors import IoprofError

_Words = ParamSpec("_Words")


def reported(command: Callable[_Words, int]) -> Callable[_Words, None]:
    """Wrap a command: its return value is the exit code; what it raises is told in one line."""

    @functools.wraps(command)
    def wrapped(*args: _Words.args, **kwargs: _Words.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except IoprofError as error:
            _end(f"ioprof: error: {error}", error.exit_code)
        except KeyboardInterrupt as interrupt:
            # Interrupted carries its signal; a plain KeyboardInterrupt is SIGINT.
            _end("ioprof: interrupted", getattr(interrupt, "exit_code", 130))
        except BrokenPipeError:
            # The reader of our output went away (`| head`); stop quietly, and keep the interpreter from retrying.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(0)
        if code:
            sys.exit(code)

    return wrapped


def _end(message: str, code: int) -> NoReturn:
    print(message, file=sys.stderr)
    sys.exit(code)
