"""The commands that the documentation shows, and what makes each of them small enough to run in a test."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A command as a page shows it."""

    page: str
    line: int
    words: tuple[str, ...]
    """Without ``ioprof`` in front; without a comment and the file that the output goes to."""

    @property
    def told(self) -> str:
        """How the test of it is called."""
        return f"{self.page}:{self.line}: {shlex.join(self.words)}"


def shown() -> list[Shown]:
    """Return every ``ioprof`` command in a block of code of the pages, each once."""
    found = {one.words: one for page in PAGES for one in _of_page(page)}
    return sorted(found.values(), key=lambda one: (one.page, one.line))


def _of_page(page: Path) -> Iterator[Shown]:
    language: str | None = None
    for number, line in enumerate(page.read_text().splitlines(), start=1):
        if line.lstrip().startswith("```"):
            language = None if language is not None else line.strip().removeprefix("```")
            continue
        in_block = language in ("sh", "bash") if language is not None else line.startswith("    ")
        if in_block and line.lstrip().startswith("ioprof "):
            words = shlex.split(line, comments=True)[1:]
            if REDIRECTED in words:
                words = words[: words.index(REDIRECTED)]
            yield Shown(page=str(page.relative_to(ROOT)), line=number, words=tuple(words))


REDIRECTED = ">"

SMALL: Mapping[str, Mapping[str, str]] = {
    "small-files": {"--files": "600", "--file-size": "4KiB", "--batch-size": "16", "--compute": "1ms"},
    "streaming-shards": {"--shards": "4", "--samples-per-shard": "64", "--sample-size": "4KiB", "--batch-size": "8"},
    "record-reads": {"--files": "2", "--file-size": "4MiB", "--record-size": "64KiB", "--batch-size": "8"},
    "token-stream": {"--files": "2", "--file-size": "4MiB", "--batch-size": "8"},
    "metadata-storm": {"--files": "200", "--operations": "2000"},
    "checkpoint": {"--checkpoint-size": "1MiB", "--checkpoint-every": "5"},
    "etl": {"--files": "160", "--file-size": "4KiB", "--shard-size": "256KiB", "--batch-size": "8"},
}
"""Flags of datasets that are made and read within a second."""
PROBED: Mapping[str, Mapping[str, str]] = {
    "small-files": {"--files": "20k"},
    "streaming-shards": {"--shards": "32", "--samples-per-shard": "256", "--sample-size": "32KiB"},
}
"""Plain processes read faster than loaders: a level needs more than a run does."""
COUNTS = {"--files", "--shards", "--samples-per-shard", "--operations", "--checkpoint-size", "--shard-size"}
"""Of these a documented value gives way: that it is large is the point of it. Any other documented value stays."""
BRIEF: Mapping[str, Mapping[str, str]] = {
    "run": {"--duration": "1s", "--epochs": "2", "--warmup": "1"},
    "tune": {"--duration": "1s", "--budget": "4s", "--max-workers": "2"},
    "probe": {"--duration": "1s", "--processes": "2"},
}
"""Flags of commands that take their time."""
TUNED_FAST = {"--compute", "--batch-size"}
"""Of a tuning these give way too: each of its runs needs steps enough to be judged."""
OF_WORKLOADS = ("run", "tune", "probe", "prepare", "doctor")
HURRIED = {"--duration", "--budget", "--epochs"}
NO_PROBE = "--no-probe"

INSTEAD: Mapping[str, str] = {
    "s3://new-bucket/x": "other-store",  # no bucket here; stores of that kind are tested in tests/e2e
    "torchrun --nproc-per-node 8": f"{sys.executable} -m torch.distributed.run --nproc-per-node 2",
    "--metrics :9464": "--metrics :0",  # somebody may serve something there
    "-- python": f"-- {sys.executable}",  # not every machine has it on its PATH
}
RESOLVED = ("run mlperf-", "run dlio:")
"""Published datasets of gigabytes: the command is resolved to the end (--dry-run); tests/e2e/test_dlio.py runs such."""
ELSEWHERE: Mapping[str, str] = {
    "selftest": "minutes long: its cases are run by tests/accuracy and tests/unit/test_selftest.py",
    "suite quick": "minutes long: suites are run by tests/e2e/test_suite.py",
    "suite full": "an hour long: suites are run by tests/e2e/test_suite.py",
    "run mixed": "seven phases of gigabytes: mixed runs are run by tests/e2e/test_mixed.py, and my-mixed.toml here",
}
"""Commands that are not run here, by how they begin, and which test runs what they do."""


def elsewhere(words: Sequence[str]) -> str | None:
    """Return why a command is not run here; None: it is."""
    return next((why for start, why in ELSEWHERE.items() if " ".join(words).startswith(start)), None)


def runnable(words: Sequence[str]) -> list[str]:
    """Return the command as it is run in a test: the documented flags, with small data and little time."""
    found = shlex.split(re.sub(r"/mnt/[a-z-]+(/ioprof)?", "other-store", _instead(shlex.join(words))))
    if "--dry-run" in found or "--help" in found:
        return found
    if " ".join(found).startswith(RESOLVED):
        return [*found, "--dry-run"]
    if found[1:] and found[1].endswith("mixed.toml"):
        return [*found, "--duration", "1s"]
    for flag, value in _wanted(found).items():
        if flag not in found:
            found += [flag, value]
        elif flag in COUNTS | HURRIED or (found[0] == "tune" and flag in TUNED_FAST):
            found[found.index(flag) + 1] = value
    return [*found, NO_PROBE] if found[0] == "run" and NO_PROBE not in found else found


def _instead(text: str) -> str:
    for documented, here in INSTEAD.items():
        text = text.replace(documented, here)
    return text


def _wanted(words: Sequence[str]) -> dict[str, str]:
    """Return the flags that make a command small and brief, of those that it takes."""
    command, target = words[0], words[1] if len(words) > 1 else ""
    found = dict(BRIEF.get(command, {}))
    if command in OF_WORKLOADS:
        found |= SMALL.get(target, {})
    if command == "probe":
        found |= PROBED.get(target, {})
    for flag in {"--compute", "--batch-size"} if command not in ("run", "tune") else set():
        found.pop(flag, None)
    if "--accelerator" in words:
        found.pop("--compute", None)
    return found
