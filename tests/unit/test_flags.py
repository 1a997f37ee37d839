"""The command line as a spec: later sources win, plug-ins bring their own flags, anything else is refused."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ioprof.errors import SpecError, UsageError
from ioprof.runner.plan import plan_run
from ioprof.spec.flags import raw_spec, refuse_flags_of_other_sections
from ioprof.spec.model import RunSpec
from ioprof.spec.resolve import resolve


def _spec(target: str, *, flags: list[tuple[str, str]] | None = None, sets: list[str] | None = None,
          extra: list[str] | None = None) -> RunSpec:  # fmt: skip
    return resolve(raw_spec(target, flags or [], sets or [], extra or []))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(
    in_file=st.none() | st.integers(0, 99),
    by_flag=st.none() | st.integers(100, 199),
    by_set=st.none() | st.integers(200, 299),
)
def test_a_flag_wins_over_the_file_and_set_wins_over_the_flag(
    in_file: int | None, by_flag: int | None, by_set: int | None, tmp_path: Path
) -> None:
    """Whichever sources there are, the last one that speaks is heard."""
    path = tmp_path / "my.toml"
    line = "" if in_file is None else f"workers = {in_file}"
    path.write_text(f"[workload]\nname = 'small-files'\n[loader]\n{line}\n", encoding="utf-8")
    spec = _spec(
        str(path),
        flags=[] if by_flag is None else [("workers", str(by_flag))],
        sets=[] if by_set is None else [f"loader.workers={by_set}"],
    )
    wanted = next((value for value in (by_set, by_flag, in_file) if value is not None), 2)
    assert spec.sections(as_text=False)["loader"]["workers"] == wanted


def test_parameters_of_workload_and_loader_are_flags_in_both_spellings() -> None:
    """``--name value`` and ``--name=value``; dashes stand for underscores."""
    spec = _spec("small-files", extra=["--files-per-dir", "50", "--start-method=spawn", "--compress-ratio=2"])
    sections = spec.sections(as_text=False)
    assert sections["workload"]["files_per_dir"] == 50
    assert sections["workload"]["compress_ratio"] == 2.0
    assert sections["loader"]["start_method"] == "spawn"


def test_common_flags_reach_their_sections() -> None:
    """Store, loader and accelerator are named; the rest goes where the key belongs."""
    flags = [
        ("store", "/mnt/x"),
        ("loader", "null"),
        ("accelerator", "none"),
        ("batch-size", "1k"),
        ("epochs", "2"),
        ("compute", "2ms"),
    ]
    sections = _spec("small-files", flags=flags).sections(as_text=False)
    assert sections["store"]["url"] == "/mnt/x"
    assert (sections["loader"]["name"], sections["loader"]["batch_size"]) == ("null", 1000)
    assert (sections["accelerator"]["name"], sections["accelerator"]["compute"]) == ("none", 2_000_000)
    assert sections["run"]["epochs"] == 2


def test_set_reads_true_and_false_as_such() -> None:
    """Everything else is text that the field understands."""
    spec = _spec("small-files", sets=["loader.persistent=false", "workload.shuffle = false", "loader.batch_size=1k"])
    sections = spec.sections(as_text=False)
    assert (sections["loader"]["persistent"], sections["workload"]["shuffle"]) == (False, False)
    assert sections["loader"]["batch_size"] == 1000


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (["--wokers", "4"], "--wokers: no such flag; did you mean '--workers'?"),
        (["--start-metod", "spawn"], "--start-metod: no such flag; did you mean '--start-method'?"),
        (["--filez=4"], "--filez: no such flag; did you mean '--files'?"),
        (["--zzzzzzz", "4"], "--zzzzzzz: no such flag"),
        (["--files"], "--files: give it a value"),
        (["4"], "'4': not expected here; flags look like --files 1M"),
    ],
)
def test_a_word_that_is_no_flag_is_a_usage_error(extra: list[str], message: str) -> None:
    """With the nearest flag, dashes and all."""
    with pytest.raises(UsageError) as caught:
        _spec("small-files", extra=extra)
    assert str(caught.value) == message


def test_a_flag_of_a_loader_that_is_not_in_use_is_refused() -> None:
    """It would do nothing, and nobody would notice."""
    with pytest.raises(UsageError, match="--start-method: no such flag"):
        _spec("small-files", flags=[("loader", "null")], extra=["--start-method", "spawn"])


def test_a_flag_that_another_loader_has_is_told_as_such() -> None:
    """Not with the nearest flag of this one, which is about something else."""
    with pytest.raises(UsageError) as caught:
        _spec("small-files", flags=[("loader", "null"), ("workers", "2")])
    assert re.match(r"--workers: no such flag of the loader null; .*torch-map (has|have) it", str(caught.value))


def test_a_wrong_value_is_reported_under_the_flag_that_brought_it() -> None:
    """The place is the flag, or the assignment."""
    with pytest.raises(SpecError, match=r"^--workers = 'many': "):
        _spec("small-files", flags=[("workers", "many")])
    with pytest.raises(SpecError, match=r"^--set loader\.workers = 'many': "):
        _spec("small-files", sets=["loader.workers=many"])
    with pytest.raises(SpecError, match=r"^--set loader\.wokers = '3': unknown key .* mean 'workers'\?"):
        _spec("small-files", sets=["loader.wokers=3"])


@pytest.mark.parametrize("word", ["-1", "--5", "99999999999999999999", "1e400", "nan"])
def test_absurd_counts_are_refused_for_every_count(word: str) -> None:
    """Negative, huge, endless: never a traceback."""
    for name in ("files", "batch-size", "workers", "epochs", "max-errors"):
        with pytest.raises(SpecError, match=f"--{name} = "):
            _spec("small-files", flags=[(name, word)])


@pytest.mark.parametrize(
    ("extra", "sets", "named"),
    [
        (["--workers", "3"], [], "--workers"),
        (["--epochs=3"], [], "--epochs"),
        (["--compute", "2ms"], [], "--compute"),
        ([], ["run.epochs=3"], "--set run.epochs"),
    ],
)
def test_prepare_refuses_what_a_dataset_has_nothing_of(extra: list[str], sets: list[str], named: str) -> None:
    """It would do nothing, and nobody would notice."""
    with pytest.raises(UsageError, match=f"^{re.escape(named)}: has no effect on a dataset"):
        refuse_flags_of_other_sections(raw_spec("small-files", [], sets, extra))


def test_prepare_takes_what_decides_the_dataset_and_any_spec_file(tmp_path: Path) -> None:
    """The file is that of the run to come."""
    path = tmp_path / "my.toml"
    path.write_text("[workload]\nname = 'small-files'\n[loader]\nworkers = 3\n[run]\nepochs = 2\n", encoding="utf-8")
    flags = [("files", "20"), ("seed", "4"), ("store", "/x")]
    refuse_flags_of_other_sections(raw_spec(str(path), flags, ["workload.file_size=4KiB"], ["--files-per-dir", "5"]))


@pytest.mark.parametrize(
    ("files", "drop_last", "epochs", "warmup", "measured"),
    [(64, True, 5, 5, 0), (64, True, 6, 5, 1), (65, True, 5, 5, 0), (65, False, 3, 5, 1), (64, True, 1, 0, 1)],
)
def test_a_run_of_nothing_but_warm_up_is_refused_before_it_starts(
    files: int, drop_last: bool, epochs: int, warmup: int, measured: int
) -> None:
    """Epochs of 64 samples in batches of 64: one step each, two where a last incomplete one is kept."""
    flags = [("files", str(files)), ("epochs", str(epochs)), ("warmup", str(warmup)), ("accelerator", "none")]
    spec = _spec("small-files", flags=flags, sets=[f"loader.drop_last={str(drop_last).lower()}"])
    if measured:
        plan_run(spec)
    else:
        with pytest.raises(SpecError, match=r"run\.epochs = 5: the run would have 5 steps.*--warmup 0"):
            plan_run(spec)


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_store_in_memory_is_refused_to_workers_that_start_anew(method: str) -> None:
    """They would find it empty; forked workers, none at all, and other stores are let through."""
    flags = [("files", "640"), ("epochs", "1"), ("accelerator", "none")]
    memory = [*flags, ("store", "memory://ioprof-test")]
    with pytest.raises(SpecError, match=rf"^loader\.start_method = '{method}': a memory:// store .* fork or another"):
        plan_run(_spec("small-files", flags=[*memory, ("start-method", method)]))
    for allowed in ([*memory, ("start-method", method), ("workers", "0")], memory, [*flags, ("start-method", method)]):
        plan_run(_spec("small-files", flags=allowed))
