"""The command to type next is the run's own, with what is to change changed and nothing said twice."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_builder import run_record

from ioprof.analysis.retry import changed_command, other_workload_command
from ioprof.analysis.stronger_store import stronger_url

WORKERS = {("loader", "workers"): "8"}


@pytest.mark.parametrize(
    ("given_words", "wanted"),
    [
        ([], "--workers 8"),
        (["--workers", "2"], "--workers 8"),
        (["--workers=2", "--files", "4k"], "--files 4k --workers 8"),
        (["--set", "loader.workers=2", "--quiet"], "--quiet --workers 8"),
        (["--set=loader.workers=2"], "--workers 8"),
        (["--set", "loader.prefetch=2", "--workers", "1", "--workers", "2"], "--set loader.prefetch=2 --workers 8"),
    ],
)
def test_an_old_value_gives_way_however_it_was_given(given_words: list[str], wanted: str) -> None:
    """As a flag of either form, or by --set, which would win over a flag."""
    run = run_record(command=["ioprof", "run", "small-files", *given_words])
    assert changed_command(run, WORKERS) == f"ioprof run small-files {wanted}"


@given(st.lists(st.text(min_size=1, max_size=6).filter(lambda word: not word.startswith("-")), max_size=3))
def test_whatever_was_typed_reads_back(words: list[str]) -> None:
    """A shell takes the command apart into the words it was made from."""
    flags = [part for word in words for part in ("--label", word)]
    command = changed_command(run_record(command=["ioprof", "run", "small-files", *flags]), WORKERS)
    assert command is not None
    assert shlex.split(command) == ["ioprof", "run", "small-files", *flags, "--workers", "8"]


@pytest.mark.parametrize("command", [["python", "train.py"], ["ioprof", "run"], ["ioprof", "suite", "quick"], []])
def test_a_run_that_came_from_elsewhere_has_no_command(command: list[str]) -> None:
    """There is nothing to change a word of."""
    assert changed_command(run_record(command=command), WORKERS) is None


def test_another_workload_does_not_inherit_what_was_said_of_the_old_data() -> None:
    """Store, loader and accelerator stay."""
    run = run_record(
        command=["ioprof", "run", "small-files", "--files", "4k", "--decode=1ms", "--store", "/mnt", "--set",
                 "workload.file_size=4KiB"],
        spec={"workload": {"name": "small-files", "files": 4000, "decode": 0, "file_size": "4KiB"}},
    )  # fmt: skip
    assert other_workload_command(run, "streaming-shards", {("loader", "name"): "torch-iterable"}) == (
        "ioprof run streaming-shards --store /mnt --loader torch-iterable"
    )


@pytest.mark.parametrize(
    ("url", "better", "wanted"),
    [
        ("throttle+file:///d?latency=2ms", "store-latency", "throttle+file:///d?latency=1ms"),
        ("throttle+/d?latency.open=3ms&jitter=lognormal:1", "store-latency",
         "throttle+/d?latency.open=1.5ms&jitter=lognormal:1"),
        ("throttle+/d?bandwidth=60MB/s", "store-bandwidth", "throttle+/d?bandwidth=120MB/s"),
        ("throttle+/d?iops=2k&latency=1ms", "store-iops", "throttle+/d?iops=4k&latency=1ms"),
        ("throttle+/d?iops=2k", "store-latency", None),
        ("throttle+/d?preset=nfs", "store-latency", None),
        ("/mnt/nas", "store-iops", None),
        ("s3://bucket?latency=2ms", "store-latency", None),
    ],
)  # fmt: skip
def test_only_a_throttled_store_can_be_made_stronger_by_its_address(url: str, better: str, wanted: str) -> None:
    """Any other would take the address of another store, which nobody here knows."""
    assert stronger_url(url, better) == wanted  # type: ignore[arg-type]
