"""Words that make no command line: one plain line in the style of every other error, and exit code 2."""

from __future__ import annotations

import sys

import pytest

from ioprof.cli.main import main


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("run", "missing argument 'WORKLOAD|FILE.toml' (see ioprof run --help)"),
        ("report", "missing argument 'RUN' (see ioprof report --help)"),
        ("suite", "missing argument 'NAME|FILE.toml' (see ioprof suite --help)"),
        ("clean", "missing argument 'URL' (see ioprof clean --help)"),
        ("clean a b", "got unexpected extra argument(s) (b) (see ioprof clean --help)"),
        ("rnu small-files", "no such command 'rnu'; did you mean 'run'? (see ioprof --help)"),
        ("list --jsno", "--jsno: no such flag; did you mean '--json'? (see ioprof list --help)"),
        ("suite quick --files 3", "--files: no such flag (see ioprof suite --help)"),
        ("run small-files --files", "option '--files' requires an argument (see ioprof run --help)"),
        ("--bogus", "--bogus: no such flag (see ioprof --help)"),
    ],
)
def test_words_that_are_not_understood_are_told_in_one_line(
    words: str, told: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No box, no usage line: what is wrong and where to look, on stderr, and nothing on stdout."""
    monkeypatch.setattr(sys, "argv", ["ioprof", *words.split()])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert capsys.readouterr() == ("", f"ioprof: error: {told}\n")


def test_a_line_break_in_a_value_does_not_break_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was pasted: logs get one line."""
    monkeypatch.setattr(sys, "argv", ["ioprof", "run", "small-files", "--set", "1\n2"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err.startswith("ioprof: error: --set 1 2: write it as section.key=value")


def test_no_words_at_all_show_the_commands(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The first thing that a newcomer types; `-h` is understood as well."""
    for words, code in (([], 2), (["-h"], 0)):
        monkeypatch.setattr(sys, "argv", ["ioprof", *words])
        try:
            main()
        except SystemExit as ended:
            assert ended.code == code
        else:
            assert code == 0
        assert "doctor" in capsys.readouterr().out
