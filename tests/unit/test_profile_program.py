"""How a profiled program is started and ended, and how its interpreters come to watch: with real processes."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from ioprof.errors import UsageError
from ioprof.profile.importing import after_import
from ioprof.profile.launch import program_words, run_program, watching_environment
from ioprof.profile.session import ProfileSession, Wanted, profile_session

WANTED = Wanted(results="/nowhere", label=None, command=["train.py"])


def test_a_script_is_given_to_this_interpreter(tmp_path: Path) -> None:
    """``ioprof profile train.py`` works like ``ioprof profile python train.py``."""
    script = tmp_path / "train.py"
    script.touch()
    assert program_words([str(script), "--lr", "3"]) == [sys.executable, str(script), "--lr", "3"]
    assert program_words(["sh", "-c", "true"]) == ["sh", "-c", "true"]


@pytest.mark.parametrize(
    ("words", "told"),
    [([], "no program: give"), (["nowhere.py"], "nowhere.py: no such script"), (["no-such-tool"], "no such program")],
)
def test_a_program_that_is_nowhere_is_a_usage_error(words: list[str], told: str) -> None:
    """Before anything is started, and naming it."""
    with pytest.raises(UsageError, match=told):
        program_words(words)


@pytest.mark.parametrize(
    ("line", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
)
def test_the_programs_exit_code_is_passed_on(line: str, code: int) -> None:
    """As a shell would say it."""
    assert run_program(["sh", "-c", line], os.environ) == code


def test_the_programs_signals_are_not_blocked() -> None:
    """What this process holds back meanwhile, the program must hear."""
    mask = "import signal,sys; sys.exit(len(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    assert run_program([sys.executable, "-S", "-c", mask], os.environ) == 0


def test_a_signal_that_was_sent_to_the_profiler_reaches_the_program() -> None:
    """``kill`` of the profiler ends the program as the user meant it; here the program sends it itself.

    In a process of its own: where a thread of another library gets the signal, it ends the process.
    """
    line = "trap 'exit 9' TERM; kill -TERM $PPID; for i in 1 2 3 4 5 6 7 8 9 10; do sleep 0.1; done"
    script = (
        "import os, signal, sys; from ioprof.profile.launch import run_program; "
        f"code = run_program(['sh', '-c', {line!r}], os.environ); "
        "sys.exit(code if not signal.pthread_sigmask(signal.SIG_BLOCK, []) else 1)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 9


def test_an_action_follows_the_import_of_its_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once where it has been imported, later where not, and the module is what it would have been."""
    (tmp_path / "loaded_early.py").write_text("value = 1\n")
    (tmp_path / "loaded_late.py").write_text("value = 2\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    early = importlib.import_module("loaded_early")
    seen: list[ModuleType] = []
    after_import({"loaded_early": seen.append, "loaded_late": seen.append, "never.there": seen.append})
    assert seen == [early]
    late = importlib.import_module("loaded_late")
    assert seen == [early, late]
    assert late.value == 2
    assert Path(str(late.__file__)) == tmp_path / "loaded_late.py"
    with pytest.raises(ModuleNotFoundError, match="never"):
        importlib.import_module("never.there")
    for name in ("loaded_early", "loaded_late"):
        sys.modules.pop(name)


def test_the_customisation_that_is_hidden_still_runs(tmp_path: Path) -> None:
    """A program may rely on a ``sitecustomize`` of its own."""
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.own_customisation = True\n")
    with profile_session(WANTED) as session:
        environment = watching_environment(session, os.environ | {"PYTHONPATH": str(tmp_path)})
        script = "import sys; sys.exit(0 if sys.own_customisation and 'ioprof.profile.hook' in sys.modules else 1)"
        assert subprocess.run([sys.executable, "-c", script], env=environment).returncode == 0


def test_an_interpreter_without_ioprof_is_named_and_left_alone(tmp_path: Path) -> None:
    """It runs as ever, and the report can say why nothing of it is known."""
    with profile_session(WANTED) as session:
        environment = watching_environment(session, os.environ)
        words = [sys.executable, "-I", "-S", "-c", "import sys; sys.path.insert(0, sys.argv[1]); import sitecustomize"]
        site = environment["PYTHONPATH"].split(os.pathsep)[0]
        assert subprocess.run([*words, site], env=environment).returncode == 0
        assert len(session.unwatched()) == 1
        assert session.unwatched()[0].startswith(f"{sys.executable}: No module named 'ioprof'")


def test_run_directories_are_told_in_the_order_in_which_they_were_made(tmp_path: Path) -> None:
    """And what is wanted arrives as it was said."""
    with profile_session(WANTED) as session:
        other = ProfileSession(session.folder)
        for name in ("z", "a"):
            other.announce(tmp_path / name)
        assert session.run_directories() == [tmp_path / "z", tmp_path / "a"]
        assert other.wanted() == WANTED
        folder = session.folder
    assert not folder.exists()
