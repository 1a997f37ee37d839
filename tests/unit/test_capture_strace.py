"""What the taps count, beside what strace saw at the door of the kernel."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.unit.capture_ways import PYTHON_READS, by_mapping, from_npy, make_files, natively

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (Debian: strace)")

READS = ("read", "pread64", "preadv", "preadv2", "readv", "sendfile")
OF_PATH = re.compile(r'^(openat)\(AT_FDCWD<[^>]*>, "([^"]*)".* = (\d+)')
OF_FILE = re.compile(r"^(\w+)\(\d+<([^>]*)>.* = (\d+)")
COPY = re.compile(r"^(sendfile)\(\d+<[^>]*>, \d+<([^>]*)>.* = (\d+)")
"""It names the file that is written first."""


def _seen_by_strace(top: Path, output: Path) -> dict[str, Counter[str]]:
    """Return opens, reads, their bytes and closes of the files in each folder below ``top``."""
    seen: dict[str, Counter[str]] = {}
    for file in output.parent.glob(f"{output.name}.*"):
        for line in file.read_text(errors="replace").splitlines():
            call = COPY.match(line) or OF_PATH.match(line) or OF_FILE.match(line)
            # Folders are opened to be listed, and the copy to be written.
            if call is None or not Path(call[2]).is_file() or call[2].endswith("copy.gz") or str(top) not in call[2]:
                continue
            counts = seen.setdefault(Path(call[2]).relative_to(top).parts[0], Counter())
            is_read = call[1] in READS
            counts["read" if is_read else call[1]] += 1
            counts["empty"] += is_read and call[3] == "0"
            counts["bytes"] += int(call[3]) if is_read else 0
    return seen


def test_python_reads_are_seen_call_by_call_and_native_ones_are_not(tmp_path: Path) -> None:
    """Opens, reads, bytes and closes of every way to read in Python; no read of pyarrow's, and none through a mapping.

    Python reads a whole file in one call, and asks once more within it: those empty reads are not counted apart.
    """
    top, first = tmp_path / "ways", PYTHON_READS[0].__name__
    make_files(top / first)
    for way in (*PYTHON_READS[1:], from_npy, natively, by_mapping):
        shutil.copytree(top / first, top / way.__name__)
    calls = f"trace=openat,close,{','.join(READS)}"
    command = ["strace", "-ff", "-y", "-s", "0", "-o", str(tmp_path / "strace"), "-e", calls]
    command += [sys.executable, "-m", "tests.unit.capture_ways", str(top)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    told, seen = json.loads(done.stdout), _seen_by_strace(top, tmp_path / "strace")
    for way in PYTHON_READS:
        opens, reads, size_bytes, closes, kernel_bytes = told[way.__name__]
        there = seen[way.__name__]
        assert (opens, size_bytes, closes) == (there["openat"], there["bytes"], there["close"]), way.__name__
        assert there["read"] - there["empty"] <= reads <= there["read"], way.__name__
        assert size_bytes == kernel_bytes > 0
    # C's buffer reads up to a block more, and numpy closes a copy of the descriptor besides.
    assert 0 <= seen["from_npy"]["bytes"] - told["from_npy"][2] <= 2 * 4096
    assert told["from_npy"][0] == seen["from_npy"]["openat"] == 1
    assert told["natively"][2] == 0
    assert seen["natively"]["bytes"] > 300_000
    assert told["by_mapping"][2] == seen["by_mapping"]["bytes"] < 10_000
