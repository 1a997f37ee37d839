"""`ioprof run record-reads` and `token-stream` for real: what they read, and what the report makes of it."""

from __future__ import annotations

import json
import mmap
from pathlib import Path
from typing import cast

import pytest

from tests.e2e.driver import ioprof

RECORDS = ["record-reads", "--files", "3", "--file-size", "8MiB", "--record-size", "256KiB", "--batch-size", "8",
           "--compute", "2ms", "--epochs", "2", "--set", "run.warmup=0"]  # fmt: skip
TOKENS = ["token-stream", "--files", "2", "--file-size", "4MiB", "--sequence-length", "2048", "--batch-size", "16",
          "--epochs", "2", "--set", "run.warmup=0", "--set", "loader.drop_last=false"]  # fmt: skip
WINDOWS = 2 * ((2 * 1024**2 - 1) // 2048)


def _summary(tmp_path: Path, *words: str) -> dict[str, dict[str, object]]:
    done = ioprof("run", *words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return cast("dict[str, dict[str, object]]", json.loads(done.stdout))


def _run_json(tmp_path: Path) -> dict[str, dict[str, object]]:
    (path,) = (tmp_path / "results").glob("*/run.json")
    return cast("dict[str, dict[str, object]]", json.loads(path.read_text()))


@pytest.mark.parametrize("workers", ["0", "2"])
def test_records_tile_the_files_for_any_number_of_workers(tmp_path: Path, workers: str) -> None:
    """Two epochs read every byte twice, through descriptors that stay open."""
    found = _summary(tmp_path, *RECORDS, "--workers", workers)
    assert found["samples"] == 2 * 96
    assert found["operations"]["read"]["bytes"] == 2 * 3 * 8 * 1024**2
    assert found["operations"]["open"]["count"] <= 3 * max(1, int(workers))
    assert found["coverage"]["ratio"] == pytest.approx(1.0, abs=0.05)


def test_direct_records_never_enter_the_page_cache(tmp_path: Path) -> None:
    """A warm cache serves none of them: all bytes come from the device."""
    done = ioprof("run", *RECORDS, "--direct", "true", "--cache", "warm", "--json", cwd=tmp_path)
    if done.returncode == 2:
        pytest.skip(done.stderr)
    found = json.loads(done.stdout)
    assert found["cache"]["client_hit_ratio"] == pytest.approx(0.0, abs=0.01)
    assert found["operations"]["read"]["bytes"] == 2 * 3 * 8 * 1024**2


@pytest.mark.parametrize(("workers", "persistent"), [("0", "true"), ("2", "true"), ("2", "false")])
def test_token_windows_are_touched_and_each_epoch_begins_cold(tmp_path: Path, workers: str, persistent: str) -> None:
    """No read(2) sees them, so touches and page faults do; no page of a mapping survives between epochs."""
    found = _summary(tmp_path, *TOKENS, "--workers", workers, "--persistent", persistent, "--madvise", "random")
    assert found["samples"] == 2 * WINDOWS
    assert found["operations"]["touch"]["count"] == 2 * WINDOWS
    assert found["operations"]["touch"]["bytes"] == 2 * WINDOWS * 2049 * 2
    assert found["mapped"]["touches"] == 2 * WINDOWS
    cache = _run_json(tmp_path)["cache"]
    if cache["checked_pages"] is None or found["cache"]["client_hit_ratio"] is None:
        pytest.skip("this kernel or file system tells nothing of its page cache")
    assert (cache["evictions"], cache["resident_pages"]) == (2, 0)
    # Each window has one page of its own; nothing is read ahead.
    assert found["mapped"]["major_faults"] >= 0.9 * 2 * WINDOWS
    assert found["cache"]["client_hit_ratio"] < 0.1
    assert found["coverage"]["ratio"] is None or found["coverage"]["ratio"] >= 0.95


def test_a_warm_mapping_is_not_taken_for_reads_that_nobody_saw(tmp_path: Path) -> None:
    """The kernel counts nothing: coverage is unknown and says why, latencies stand, the page cache is named."""
    found = _summary(tmp_path, *TOKENS, "--cache", "warm")
    assert found["cache"]["client_hit_ratio"] == pytest.approx(1.0, abs=0.02)
    assert found["coverage"]["ratio"] is None
    assert "page cache served" in found["reasons"]["coverage.ratio"]
    assert found["operations"]["touch"]["latency_ns"]["p50"] > 0
    assert found["mapped"]["major_faults"] == 0
    assert found["mapped"]["minor_faults"] > 0


def test_pages_that_another_process_has_mapped_are_no_cold_cache(tmp_path: Path) -> None:
    """Evictions leave them: cold was not achieved, with the evidence."""
    assert ioprof("prepare", *TOKENS[:7], cwd=tmp_path).returncode == 0
    (tokens,) = (tmp_path / "ioprof-data").glob("*/0/1.bin")
    with tokens.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        assert len(bytes(mapped)) == 4 * 1024**2
        found = _summary(tmp_path, *TOKENS)
    if _run_json(tmp_path)["cache"]["checked_pages"] is None:
        pytest.skip("this kernel has no cachestat(2)")
    assert found["cache"]["cold_achieved"] is False
    assert "pages looked at were still cached" in found["cache"]["evidence"]
    assert any("stayed in this host's page cache after eviction" in caveat for caveat in found["caveats"])


def test_pread_reads_the_same_windows(tmp_path: Path) -> None:
    """For comparison: reads in place of touches, and the kernel counts them."""
    found = _summary(tmp_path, *TOKENS, "--access", "pread")
    assert found["mapped"] is None
    assert "touch" not in found["operations"]
    assert found["operations"]["read"]["bytes"] >= 2 * WINDOWS * 2049 * 2
    assert found["coverage"]["ratio"] == pytest.approx(1.0, abs=0.05)


def test_a_token_file_cut_short_ends_no_worker(tmp_path: Path) -> None:
    """Its windows are lost and counted; touching it would have been a SIGBUS."""
    assert ioprof("prepare", *TOKENS[:7], cwd=tmp_path).returncode == 0
    (tokens,) = (tmp_path / "ioprof-data").glob("*/0/1.bin")
    with tokens.open("r+b") as file:
        file.truncate(1000)
    found = _summary(tmp_path, *TOKENS, "--max-errors", "100k")
    assert found["outcome"] == "complete"
    assert found["samples"] == WINDOWS
    assert found["errors"]["map"]["by_name"] == {"short-read": WINDOWS}


def test_an_index_that_does_not_match_stops_the_run_in_one_line(tmp_path: Path) -> None:
    """At start-up, and named."""
    assert ioprof("prepare", *TOKENS[:7], cwd=tmp_path).returncode == 0
    (index,) = (tmp_path / "ioprof-data").glob("*/0/1.idx")
    content = bytearray(index.read_bytes())
    content[16] ^= 1
    index.write_bytes(content)
    done = ioprof("run", *TOKENS, "--quiet", cwd=tmp_path)
    assert done.returncode == 1
    told = "0/1.idx: does not match its token file: 2,097,153 tokens of 2 B in 2,097 documents, where"
    assert told in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["record-reads", "--record-size", "1GiB"], "--record-size = '1GiB': a record is larger than its file"),
        (["record-reads", "--direct", "true", "--alignment", "3KiB"], "--direct = 'true'"),
        (["record-reads", "--direct", "true", "--store", "memory://x"], "workload.direct = true: memory://x"),
        (["token-stream", "--sequence-length", "1G"], "--sequence-length = '1G'"),
        (["token-stream", "--store", "memory://x"], "use --access pread"),
        (["token-stream", "--access", "pread", "--madvise", "random"], "--madvise = 'random'"),
    ],
)
def test_bad_input_is_refused_in_one_line(tmp_path: Path, words: list[str], expected: str) -> None:
    """Exit code 2 before anything is written."""
    done = ioprof("run", *words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert expected in done.stderr
    assert list(tmp_path.iterdir()) == []
