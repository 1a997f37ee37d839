"""The commands that the documentation shows, and what makes each of them small enough to run in a test."""

from __future__ import annotations

import re
import shlex
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
    """Without ``ioprof`` in front, and without a comment behind."""

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
            yield Shown(page=str(page.relative_to(ROOT)), line=number, words=tuple(words))


SMALL: Mapping[str, Mapping[str, str]] = {
    "small-files": {"--files": "160", "--file-size": "4KiB"},
    "streaming-shards": {"--shards": "4", "--samples-per-shard": "64", "--sample-size": "4KiB"},
    "record-reads": {"--files": "2", "--file-size": "4MiB", "--record-size": "64KiB"},
    "token-stream": {"--files": "2", "--file-size": "4MiB"},
    "metadata-storm": {"--files": "200", "--operations": "2000"},
    "checkpoint": {"--files": "640", "--checkpoint-size": "1MiB", "--checkpoint-every": "5"},
    "etl": {"--files": "160", "--file-size": "4KiB", "--shard-size": "256KiB"},
    "mlperf-unet3d": {"--scale": "0.002"},
    "mlperf-retinanet": {"--scale": "0.0002"},
}
"""Flags of datasets that are made and read within a second."""
COUNTS = {"--files", "--shards", "--samples-per-shard", "--operations", "--scale", "--checkpoint-size", "--shard-size"}
"""Of these a documented value gives way: that it is large is the point of it. Any other documented value stays."""
BRIEF: Mapping[str, Mapping[str, str]] = {
    "run": {"--duration": "1s", "--epochs": "2", "--compute": "1ms", "--batch-size": "8", "--warmup": "1"},
    "tune": {"--duration": "1s", "--budget": "4s", "--max-workers": "2", "--compute": "1ms", "--batch-size": "8"},
    "probe": {"--duration": "1s", "--processes": "2"},
}
"""Flags of commands that take their time."""
HURRIED = {"--duration", "--budget", "--epochs"}
NO_PROBE = "--no-probe"

INSTEAD: Mapping[str, str] = {
    "s3://new-bucket/x": "other-store",  # no bucket here; stores of that kind are tested in tests/e2e
    "torchrun --nproc-per-node 8 train.py": "torchrun --nproc-per-node 2 train.py",
}
ELSEWHERE: Mapping[str, str] = {
    "selftest": "minutes long: its cases are run by tests/accuracy and tests/unit/test_selftest.py",
    "suite quick": "minutes long: suites are run by tests/e2e/test_suite.py",
    "suite full": "an hour long: suites are run by tests/e2e/test_suite.py",
}
"""Commands that are not run here, by how they begin, and which test runs what they do."""


def elsewhere(words: Sequence[str]) -> str | None:
    """Return why a command is not run here; None: it is."""
    return next((why for start, why in ELSEWHERE.items() if " ".join(words).startswith(start)), None)


def runnable(words: Sequence[str]) -> list[str]:
    """Return the command as it is run in a test: the documented flags, with small data and little time."""
    text = shlex.join(words)
    for documented, here in INSTEAD.items():
        text = text.replace(documented, here)
    text = re.sub(r"/mnt/[a-z-]+(/ioprof)?", "other-store", text)
    found = shlex.split(text)
    if "--dry-run" in found or "--help" in found:
        return found
    given = found[1] if len(found) > 1 else ""
    wanted = dict(BRIEF.get(found[0], {}))
    if found[0] in ("run", "tune", "probe", "prepare"):
        wanted |= SMALL.get(given, {})
    for flag, value in wanted.items():
        if flag not in found:
            found += [flag, value]
        elif flag in COUNTS | HURRIED:
            found[found.index(flag) + 1] = value
    if found[0] == "run" and NO_PROBE not in found:
        found.append(NO_PROBE)
    return found
