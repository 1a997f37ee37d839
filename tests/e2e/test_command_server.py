"""Commands that tests start by forking a warm process are those that a user starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.command import Command
from tests.e2e.driver import environment

STATE = """
import json, os, signal, sys, tempfile, threading
from pathlib import Path

def opened():
    for number in os.listdir("/proc/self/fd"):
        try:
            yield int(number), os.readlink(f"/proc/self/fd/{number}").partition(":")[0]
        except FileNotFoundError:
            pass  # the listing's own

print(json.dumps({
    "main": [__name__, __spec__.name, sys.modules["__main__"].__spec__.name],
    "words": [sys.argv, sys.orig_argv, sys.path, sys.flags],
    "handlers": [str(signal.getsignal(number)).partition(" at ")[0] for number in signal.valid_signals()],
    "blocked": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
    "ignored": [line for line in Path("/proc/self/status").read_text().splitlines() if line[:6] == "SigIgn"],
    "session": [os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid()],
    "place": [os.getcwd(), tempfile.gettempdir(), os.umask(0o22), dict(os.environ)],
    "open": sorted(opened()),
    "streams": [[one.encoding, one.errors, one.line_buffering, one.isatty()] for one in (sys.stdout, sys.stderr)],
    "threads": [threading.active_count(), threading.current_thread().name],
}))
"""

ENDS = """
import atexit, os, signal, sys, threading, time
atexit.register(lambda: print("last words"))
threading.Thread(target=lambda: (time.sleep(0.05), print("a thread's"))).start()
print("out")
print("err", file=sys.stderr)
exec(sys.argv[1])
"""


def ran_both_ways(folder: Path, program: str, *words: str) -> list[tuple[int, str, str]]:
    """Run a module forked and as a new interpreter; return exit code, stdout and stderr of each."""
    (folder / "program.py").write_text(program)
    command = Command(words, cwd=folder, environment=environment(folder), module="program")
    out, err = command.communicate(timeout=60)
    real = subprocess.run(
        [sys.executable, "-m", "program", *words], cwd=folder, env=environment(folder), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, start_new_session=True,
    )  # fmt: skip
    return [(command.wait(), out, err), (real.returncode, real.stdout, real.stderr)]


def test_a_forked_command_finds_what_a_new_interpreter_does(tmp_path: Path) -> None:
    """Main module, words, signals, session, folder, environment, descriptors, streams."""
    (_, forked, err), (_, new, _) = ran_both_ways(tmp_path, STATE, "some", "--words")
    assert err == ""
    assert json.loads(forked) == json.loads(new)


@pytest.mark.parametrize(
    "end",
    [
        "pass", "sys.exit()", "sys.exit(3)", "sys.exit(256 + 7)", "sys.exit('told')", "os._exit(4)",
        "os.close(1); sys.exit(5)", "raise KeyboardInterrupt", "1 / 0", "os.kill(os.getpid(), signal.SIGTERM)",
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(143)); os.kill(os.getpid(), signal.SIGTERM)",
    ],
)  # fmt: skip
def test_a_forked_command_ends_as_a_new_interpreter_does(end: str, tmp_path: Path) -> None:
    """Exit code or signal, what is printed until the very last moment, the last line of a traceback."""
    (code, out, err), (real_code, real_out, real_err) = ran_both_ways(tmp_path, ENDS, end)
    assert (code, out, err.splitlines()[-1]) == (real_code, real_out, real_err.splitlines()[-1])


def test_forked_commands_draw_different_random_numbers(tmp_path: Path) -> None:
    """Each as if it had been seeded by the system."""
    drawn = {ran_both_ways(tmp_path, "import random; print(random.random())")[0][1] for _ in range(3)}
    assert len(drawn) == 3


def test_a_command_that_goes_on_can_be_watched_and_killed(tmp_path: Path) -> None:
    """As `subprocess.Popen` lets one."""
    (tmp_path / "program.py").write_text("import time; time.sleep(60)")
    command = Command([], cwd=tmp_path, environment=dict(os.environ), module="program")
    assert command.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        command.communicate(timeout=0.01)
    command.kill()
    assert command.wait(timeout=60) == command.poll() == -signal.SIGKILL
    command.kill()  # harmless
