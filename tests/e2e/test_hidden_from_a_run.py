"""Whole runs where a facility is missing or has nothing to say: what cannot be known is named, the rest is measured."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.driver import environment, ioprof

RUN = (
    "run", "small-files", "--files", "160", "--file-size", "4KiB", "--batch-size", "8", "--compute", "2ms",
    "--epochs", "2", "--no-probe", "--quiet", "--json",
)  # fmt: skip
HIDE_PRESSURE = """
mount -t tmpfs none /proc/pressure 2>/dev/null || exit 77
exec "$@"
"""
NO_NAMESPACE = 77


def _summary(text: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(text)
    return found


@pytest.fixture
def in_memory() -> Iterator[Path]:
    """A store on a file system that is memory."""
    folder = Path("/dev/shm/ioprof-test-store")
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


def _cache_is_unknown(summary: dict[str, object], why: str) -> None:
    cache, reasons = summary["cache"], summary["reasons"]
    assert isinstance(cache, dict) and isinstance(reasons, dict)
    for key in ("client_hit_ratio", "cold_achieved", "kernel_hit_ratio", "asked_hit_ratio"):
        assert cache[key] is None, key
        assert why in reasons[f"cache.{key}"]
    assert summary["samples"] == 2 * 160 - 5 * 8


def test_a_store_that_is_memory_has_no_hits_and_no_misses(tmp_path: Path, in_memory: Path) -> None:
    """Neither 0 nor 100 %: there is no storage behind the page cache."""
    done = ioprof(*RUN, "--store", str(in_memory), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    _cache_is_unknown(_summary(done.stdout), "the store lies in this host's memory")


def test_an_object_store_is_not_behind_this_hosts_page_cache(tmp_path: Path) -> None:
    """What it served is not known here, nor what of it passed the taps."""
    done = ioprof(*RUN, "--store", "memory://hidden", "--workers", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    summary = _summary(done.stdout)
    _cache_is_unknown(summary, "the store is not a local path")
    coverage = summary["coverage"]
    assert isinstance(coverage, dict) and coverage["ratio"] is None


@pytest.mark.root
@pytest.mark.skipif(shutil.which("unshare") is None, reason="util-linux's unshare is not installed")
def test_a_run_without_pressure_files_says_so_and_measures_the_rest(tmp_path: Path) -> None:
    """In a mount namespace whose /proc/pressure is empty, as on kernels without PSI."""
    words = [sys.executable, "-m", "ioprof.cli.main", *RUN]
    command = ["unshare", "--mount", "sh", "-c", HIDE_PRESSURE, "sh", *words]
    done = subprocess.run(command, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=120)
    if done.returncode == NO_NAMESPACE or done.stderr.startswith("unshare:"):
        pytest.skip(f"no mount namespace can be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    summary = _summary(done.stdout)
    missing = summary["host_missing"]
    assert isinstance(missing, dict)
    assert {name for name in missing if name.startswith("psi_")}, missing
    assert all("/proc/pressure" in why for name, why in missing.items() if name.startswith("psi_"))
    assert isinstance(summary["samples_per_s"], float)
