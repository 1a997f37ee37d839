"""`ioprof doctor`: each check tells the good from the bad, and says what to do about the bad."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ioprof.cli import doctor as command
from ioprof.dataset.prepare import prepare
from ioprof.errors import StoreError
from ioprof.host import evidence as evidence_module
from ioprof.host.check import Check, Severity
from ioprof.host.doctor import RULES, conclusion, judge, run_checks
from ioprof.host.evidence import (
    Cuda,
    DoctorContext,
    Evidence,
    Facilities,
    cuda_facts,
    local_path,
    remote_refusal,
    write_refusal,
)
from ioprof.host.other_load import OtherLoad, OtherRun, other_load, other_runs
from ioprof.host.page_cache_probe import Eviction, try_eviction
from ioprof.host.text import Scalar
from ioprof.plugins import find_workload
from ioprof.spec.flags import raw_spec
from ioprof.spec.model import RunSpec
from ioprof.spec.resolve import resolve
from ioprof.store.local import LocalStore
from ioprof.store.open_store import open_store

GIB = 1 << 30
HOST: dict[str, Scalar] = {
    "affinity_cores": 8, "logical_cores": 8, "cgroup_cpu_cores": None, "cgroup_memory_bytes": None,
    "memory_available_bytes": 16 * GIB, "swap_used_bytes": 0, "cpu_governor": "performance",
    "dev_shm_free_bytes": 8 * GIB, "open_files_soft": 65536, "open_files_hard": 65536,
}  # fmt: skip
CLOCK: dict[str, Scalar] = {"source": "tsc", "available_sources": "tsc hpet", "read_ns": 60.0}
STORE: dict[str, Scalar] = {
    "path": "/data", "filesystem": "xfs", "device": "/dev/nvme0n1", "mount_point": "/data",
    "is_memory": False, "is_network": False, "is_overlay": False, "free_bytes": 500 * GIB,
    "free_inodes": 10_000_000, "disk": "nvme0n1", "model": None, "rotational": False, "scheduler": "none",
    "read_ahead_kb": 128,
}  # fmt: skip
GOOD = Evidence(
    context=DoctorContext(
        store_url="/data",
        dataset_bytes=100 * GIB,
        needed_bytes=100 * GIB,
        needed_inodes=1000,
        workers=4,
        prefetch=2,
        batch_bytes=1 << 20,
    ),
    host=HOST,
    clock=CLOCK,
    store=STORE,
    eviction=Eviction(pages=256, resident_before=256, resident_after=0, method="cachestat"),
    versions={"torch": "2.13.0+cpu"},
    cuda=Cuda(torch_cuda=None, is_cpu_build=True, driver=None),
    reads="compiled",
    facilities=Facilities(
        pressure=True,
        schedstat=True,
        process_io=True,
        cachestat=True,
        drop_caches=True,
        delay_accounting=True,
    ),
    load=OtherLoad(cores=0.05, steal_cores=0.0, busiest=()),
)


def host(**changes: Scalar) -> Evidence:
    """Good evidence but for some facts of the host."""
    return replace(GOOD, host={**HOST, **changes})


def store(**changes: Scalar) -> Evidence:
    """Good evidence but for some facts of the store."""
    return replace(GOOD, store={**STORE, **changes})


def asked(**changes: int | None) -> Evidence:
    """Good evidence but for what is asked of the host."""
    return replace(GOOD, context=replace(GOOD.context, **changes))  # type: ignore[arg-type]


def kernel(**changes: bool | None) -> Evidence:
    """Good evidence but for what the kernel offers."""
    return replace(GOOD, facilities=replace(GOOD.facilities, **changes))  # type: ignore[arg-type]


def test_a_good_host_passes_every_check() -> None:
    """Nothing is found where nothing is wrong, and every rule had its say."""
    checks = judge(GOOD)
    assert {check.severity for check in checks} == {"ok"}
    assert len(checks) == len({check.id for check in checks}) == len(RULES)
    assert conclusion(checks).startswith("Nothing here would spoil a measurement")


CASES: dict[str, tuple[Evidence, str, Severity]] = {
    "pinned to fewer CPUs": (host(affinity_cores=2), "cpu-affinity", "warning"),
    "a CPU quota": (host(cgroup_cpu_cores=1.5), "cpu-quota", "warning"),
    "a quota above all CPUs": (host(cgroup_cpu_cores=16.0), "cpu-quota", "ok"),
    "more workers than cores": (asked(workers=8), "worker-count", "note"),
    "a slow clock source": (replace(GOOD, clock={**CLOCK, "source": "hpet"}), "clock-source", "warning"),
    "a hidden clock source": (replace(GOOD, clock={**CLOCK, "source": None}), "clock-source", "note"),
    "no compiler": (replace(GOOD, reads="python"), "reads", "note"),
    "the loop in Python by choice": (replace(GOOD, reads="python", reads_are_chosen=True), "reads", "note"),
    "an expensive clock": (replace(GOOD, clock={**CLOCK, "read_ns": 900.0}), "clock-cost", "warning"),
    "a power-saving governor": (host(cpu_governor="powersave"), "cpu-governor", "warning"),
    "no governor": (host(cpu_governor=None), "cpu-governor", "ok"),
    "stolen time": (
        replace(GOOD, load=OtherLoad(cores=0, steal_cores=1.0, busiest=())), "cpu-steal", "warning",
    ),
    "a busy neighbour": (
        replace(GOOD, load=OtherLoad(cores=3.0, steal_cores=0, busiest=("gcc (pid 7) 2.90",))),
        "other-load",
        "warning",
    ),
    "another run": (replace(GOOD, runs=[OtherRun(pid=7, command="ioprof run")]), "other-runs", "warning"),
    "no /dev/shm": (host(dev_shm_free_bytes=None), "dev-shm", "problem"),
    "shared memory of 64 MiB": (
        replace(host(dev_shm_free_bytes=64 << 20), context=DoctorContext(store_url="/data")),
        "dev-shm",
        "warning",
    ),
    "batches larger than /dev/shm": (asked(batch_bytes=2 * GIB), "dev-shm", "problem"),
    "batches nearly filling /dev/shm": (asked(batch_bytes=GIB), "dev-shm", "warning"),
    "few open files": (host(open_files_soft=256), "open-files", "problem"),
    "the customary limit": (host(open_files_soft=1024), "open-files", "note"),
    "unlimited files": (host(open_files_soft=None), "open-files", "ok"),
    "a dataset that fits in memory": (asked(dataset_bytes=GIB), "dataset-memory", "warning"),
    "a dataset that fits in memory, evicted": (
        replace(GOOD, context=replace(GOOD.context, dataset_bytes=GIB, evicts=True)), "dataset-memory", "ok",
    ),
    "a dataset twice the memory": (asked(dataset_bytes=32 * GIB), "dataset-memory", "note"),
    "memory held back by a group": (
        replace(host(cgroup_memory_bytes=4 * GIB), context=replace(GOOD.context, dataset_bytes=30 * GIB)),
        "dataset-memory",
        "ok",
    ),
    "swap in use": (host(swap_used_bytes=GIB), "swap", "warning"),
    "no PSI": (kernel(pressure=False), "psi", "note"),
    "no schedstat": (kernel(schedstat=False), "schedstat", "note"),
    "no process I/O": (kernel(process_io=False), "process-io", "note"),
    "delay accounting off": (kernel(delay_accounting=False), "delay-accounting", "note"),
    "no cachestat": (kernel(cachestat=False), "cachestat", "note"),
    "no right to drop caches": (kernel(drop_caches=False), "drop-caches", "note"),
    "a remote store": (replace(GOOD, store=None, eviction=None), "store", "note"),
    "a store not writable": (replace(GOOD, store_refusal="/data is not writable"), "store", "problem"),
    "a store not writable that has the dataset": (
        replace(asked(needed_bytes=0), store_refusal="/data is not writable"), "store", "note",
    ),
    "a remote store that cannot be reached": (
        replace(GOOD, store=None, eviction=None, store_refusal="s3://x: no answer"), "store", "problem",
    ),
    "another dataset in the way": (
        replace(GOOD, context=replace(GOOD.context, dataset_refusal="/data/x: holds another")), "store", "problem",
    ),
    "too little space": (asked(needed_bytes=501 * GIB), "space", "problem"),
    "space that is just enough": (asked(needed_bytes=499 * GIB), "space", "warning"),
    "little space beside a dataset that stands": (
        replace(store(free_bytes=5), context=replace(GOOD.context, needed_bytes=0)), "space", "ok",
    ),
    "too few inodes": (asked(needed_inodes=20_000_000), "inodes", "problem"),
    "few inodes": (
        replace(store(free_inodes=5), context=replace(GOOD.context, needed_inodes=None)), "inodes", "warning",
    ),
    "few inodes beside a dataset that stands": (
        replace(store(free_inodes=5), context=replace(GOOD.context, needed_inodes=0)), "inodes", "ok",
    ),
    "inodes made as needed": (store(free_inodes=None), "inodes", "ok"),
    "a store in memory": (store(is_memory=True, filesystem="tmpfs"), "filesystem", "warning"),
    "a throttled store": (
        replace(GOOD, context=replace(GOOD.context, store_url="throttle+/data?latency=5ms")), "throttle", "note",
    ),
    "an overlay": (store(is_overlay=True, filesystem="overlay"), "filesystem", "warning"),
    "a filer": (store(is_network=True, filesystem="nfs4"), "filesystem", "note"),
    "FUSE": (store(is_network=None, filesystem="fuse.x"), "filesystem", "note"),
    "a hard disk": (store(rotational=True), "device", "note"),
    "long read-ahead": (store(read_ahead_kb=8192), "device", "note"),
    "eviction that does not work": (
        replace(GOOD, eviction=Eviction(pages=9, resident_before=9, resident_after=3, method="mincore")),
        "eviction",
        "warning",
    ),
    "eviction not tried": (replace(GOOD, eviction="/data: Read-only file system"), "eviction", "note"),
    "no torch": (replace(GOOD, versions={}), "torch", "problem"),
    "torch without CUDA beside a driver": (
        replace(GOOD, cuda=Cuda(torch_cuda=None, is_cpu_build=True, driver=570)), "torch", "note",
    ),
    "a driver too old": (
        replace(GOOD, cuda=Cuda(torch_cuda=13, is_cpu_build=False, driver=570)), "torch", "warning",
    ),
    "a driver that fits": (
        replace(GOOD, cuda=Cuda(torch_cuda=12, is_cpu_build=False, driver=570)), "torch", "ok",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("evidence", "check_id", "severity"), CASES.values(), ids=CASES.keys())
def test_one_fault_is_found_and_found_alone(evidence: Evidence, check_id: str, severity: Severity) -> None:
    """A fault changes its own check, no problem or warning appears elsewhere, and advice comes with it."""
    checks = {check.id: check for check in judge(evidence)}
    assert checks[check_id].severity == severity
    assert checks[check_id].advice or severity in ("ok", "note")
    others = [c for c in checks.values() if c.id != check_id and c.severity in ("problem", "warning")]
    assert others == []


def test_problems_come_first_and_make_the_conclusion() -> None:
    """The reader sees what must be done before what may be done."""
    checks = judge(replace(host(affinity_cores=1, dev_shm_free_bytes=None), store_refusal="/data is a file"))
    assert [check.severity for check in checks[:3]] == ["problem", "problem", "warning"]
    assert conclusion(checks) == "A run here would fail or mislead: see to store and shared memory (/dev/shm) first."


@pytest.fixture
def canned(monkeypatch: pytest.MonkeyPatch) -> Callable[[Evidence], None]:
    """Let the command see evidence of the test's choice."""
    return lambda evidence: monkeypatch.setattr(command, "run_checks", lambda context: judge(evidence))


def report(as_json: bool, width: int = 60) -> tuple[int, str]:
    """Exit code and output of the command."""
    out = io.StringIO()
    code = command.doctor_report("/data", console=Console(file=out, width=width), as_json=as_json)
    return code, out.getvalue()


def test_only_a_problem_fails_the_command(canned: Callable[[Evidence], None]) -> None:
    """Scripts can rely on the exit code: warnings do not stop them."""
    canned(host(affinity_cores=1))
    assert report(as_json=False)[0] == 0
    canned(host(dev_shm_free_bytes=None))
    assert report(as_json=True)[0] == 1


def test_json_is_whole_however_narrow_the_console(canned: Callable[[Evidence], None]) -> None:
    """Machines get every check with all its fields, unwrapped and without colour."""
    canned(host(affinity_cores=1))
    answer = json.loads(report(as_json=True)[1])
    assert answer["store"] == "/data"
    assert {field for check in answer["checks"] for field in check} == {*Check.__slots__}
    assert answer["conclusion"] == "Runs will work here, but CPU affinity would bend their numbers."


def test_text_groups_findings_and_ends_with_the_conclusion(canned: Callable[[Evidence], None]) -> None:
    """Worst first, each finding followed by what to do, one sentence at the end."""
    canned(host(affinity_cores=1))
    lines = report(as_json=False, width=100)[1].splitlines()
    assert lines[:2] == ["Warnings (1)", "  CPU affinity: this process may run on 1 of 8 CPUs"]
    assert lines[2].startswith("      workers share these")
    assert lines[-1] == "Runs will work here, but CPU affinity would bend their numbers."


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("data", Path("data")),
        ("local:data", Path("data")),
        ("file:///data", Path("/data")),
        ("memory://x", None),
        ("s3://bucket/x", None),
    ],
)
def test_only_paths_and_file_urls_are_local(url: str, path: Path | None) -> None:
    """Checks of this host's disks must not be made for a bucket."""
    assert local_path(url) == path


def test_a_file_in_the_way_is_a_refusal(tmp_path: Path) -> None:
    """A store below a file cannot be made; below a directory that is missing it can."""
    (tmp_path / "file").touch()
    assert "not a directory" in str(write_refusal(tmp_path / "file" / "store"))
    assert write_refusal(Path("/proc/self")) is not None
    assert write_refusal(tmp_path / "to" / "be" / "made") is None


def test_eviction_is_tried_on_a_file_that_leaves_nothing(tmp_path: Path) -> None:
    """The trial sees its file in the page cache first, and the directory is as it was afterwards."""
    tried = try_eviction(tmp_path)
    assert isinstance(tried, Eviction)
    assert tried.resident_before == tried.pages
    assert list(tmp_path.iterdir()) == []
    assert isinstance(try_eviction(tmp_path / "missing"), str)


def test_cuda_is_told_from_versions_alone(tmp_path: Path) -> None:
    """Build and driver are read from their version strings, in the driver's two formats."""
    version = tmp_path / "driver/nvidia/version"
    version.parent.mkdir(parents=True)
    version.write_text("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n")
    assert cuda_facts("2.13.0+cu126", tmp_path) == Cuda(torch_cuda=12, is_cpu_build=False, driver=570)
    version.write_text("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19\n")
    assert cuda_facts("2.13.0+cpu", tmp_path).driver == 535
    assert cuda_facts("2.13.0+cpu", tmp_path / "none").driver is None


def add_process(proc: Path, pid: int, parent: int, *command_line: str) -> None:
    """Put a process into a tree that looks like /proc."""
    (proc / str(pid)).mkdir(parents=True)
    (proc / str(pid) / "stat").write_text(f"{pid} (python 3) S {parent} " + "0 " * 9 + "100 50 0 0 20 0 1 0 0")
    (proc / str(pid) / "cmdline").write_bytes(b"".join(word.encode() + b"\0" for word in command_line))


def test_another_run_is_named_once_and_never_oneself(tmp_path: Path) -> None:
    """Workers of a run and the commands that only look are no runs of their own."""
    add_process(tmp_path, 10, 1, "/venv/bin/python", "/venv/bin/ioprof", "run", "small-files")
    add_process(tmp_path, 11, 10, "/venv/bin/python", "/venv/bin/ioprof", "run", "small-files")
    add_process(tmp_path, 12, 1, "python", "-m", "ioprof", "--quiet", "prepare", "small-files")
    add_process(tmp_path, 13, 1, "python", "/venv/bin/ioprof", "report", "results/run")
    add_process(tmp_path, 14, 1, "vim", "ioprof", "run")
    add_process(tmp_path, 20, 1, "python", "/venv/bin/ioprof", "run", "small-files")
    add_process(tmp_path, 21, 20, "python", "/venv/bin/ioprof", "doctor")
    assert [run.pid for run in other_runs(tmp_path, own_pid=21)] == [10, 12]


def test_other_load_is_what_the_host_did_in_between(tmp_path: Path) -> None:
    """Half a second of work by others is found, with the process that did it."""
    tick_per_s = os.sysconf("SC_CLK_TCK")
    add_process(tmp_path, 10, 1, "gcc")
    (tmp_path / "stat").write_text("cpu 1000 0 0 9000 0 0 0 0 0 0\n")

    def work(_interval_s: float) -> None:
        (tmp_path / "stat").write_text(f"cpu {1000 + 1000 * tick_per_s} 0 0 9000 0 0 0 {tick_per_s} 0 0\n")
        stat = tmp_path / "10" / "stat"
        stat.write_text(stat.read_text().replace(" 100 50 ", " 900 50 "))

    load = other_load(tmp_path, sleep=work)
    assert load is not None
    assert load.cores > 1 and load.steal_cores > 0
    assert load.busiest[0].startswith("python 3 (pid 10) ")
    assert other_load(tmp_path / "none") is None


def spec_of(*, store: Path, files: int = 100, sets: tuple[str, ...] = ()) -> RunSpec:
    """Return the run of a dataset of 4 KiB files."""
    flags = [("store", str(store)), ("files", str(files)), ("file-size", "4KiB"), ("batch-size", "8")]
    return resolve(raw_spec("small-files", flags, sets, []))


def test_a_workload_is_judged_by_its_own_dataset(tmp_path: Path) -> None:
    """Bytes of all objects for the memory, what is still to be written for the disk, and nothing is written."""
    context = command.context_of(spec_of(store=tmp_path / "store"))
    assert (context.dataset_bytes, context.batch_bytes, context.workers, context.prefetch) == (409_600, 32_768, 2, 2)
    assert context.needed_bytes is not None and context.needed_bytes > 409_600
    assert context.needed_inodes is not None and context.needed_inodes > 100
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_stands_needs_nothing_and_a_foreign_folder_is_a_refusal(tmp_path: Path) -> None:
    """Space is for what is missing; files of someone else's are told as by run."""
    spec = spec_of(store=tmp_path)
    layout = find_workload("small-files")(spec.workload_params, spec.run.seed).layout()
    dataset = Path(str(prepare(LocalStore(str(tmp_path)), "small-files", layout, workers=0).store.local_root))
    context = command.context_of(spec)
    assert (context.needed_bytes, context.needed_inodes, context.dataset_refusal) == (0, 0, None)
    shutil.rmtree(dataset)
    dataset.mkdir()
    (dataset / "someone's").touch()
    refusal = command.context_of(spec).dataset_refusal
    assert refusal is not None and "holds files that ioprof did not make" in refusal


def test_a_loader_that_hands_nothing_over_needs_no_shared_memory(tmp_path: Path) -> None:
    """Batches of `processes`, and of a loader without workers, never lie in /dev/shm; torch's do."""
    for sets, shares in (
        (("loader.name=processes",), False), (("loader.workers=0",), False), (("loader.name=null",), False), ((), True),
    ):  # fmt: skip
        context = command.context_of(spec_of(store=tmp_path, sets=sets))
        assert context.shares_memory == shares
        (check,) = (
            one for one in judge(replace(host(dev_shm_free_bytes=None), context=context)) if one.id == "dev-shm"
        )
        assert check.severity == ("problem" if shares else "ok")


def test_a_store_that_only_reads_serves_the_datasets_that_stand_there(tmp_path: Path) -> None:
    """Judged without a run it is no problem as soon as one stands; a run that saves checkpoints there must write."""
    refused = "/data is not writable"
    spec = spec_of(store=tmp_path)
    layout = find_workload("small-files")(spec.workload_params, spec.run.seed).layout()
    assert command.context_of_store(str(tmp_path)).standing == 0
    prepare(LocalStore(str(tmp_path)), "small-files", layout, workers=0)
    found = {}
    for name, context in (
        ("store alone", command.context_of_store(str(tmp_path))),
        ("reading", command.context_of(spec)),
        ("saving", command.context_of(spec_of(store=tmp_path, sets=("checkpoint.every=5",)))),
        ("more files", command.context_of(spec_of(store=tmp_path, files=200))),
    ):
        checks = judge(replace(GOOD, context=context, store_refusal=refused))
        found[name] = next(check.severity for check in checks if check.id == "store")
    assert found == {"store alone": "note", "reading": "note", "saving": "problem", "more files": "problem"}


def test_a_loader_that_reads_nothing_asks_nothing_of_the_store(tmp_path: Path) -> None:
    """There is no dataset to hold against memory or disk."""
    context = command.context_of(spec_of(store=tmp_path, sets=("loader.name=null",)))
    assert (context.dataset_bytes, context.needed_bytes) == (None, None)


@pytest.mark.parametrize(
    ("url", "told"),
    [("nonsense://x", "nonsense://x: "), ("s3://me:secret@nowhere", "s3://nowhere: "), ("", "the store is empty")],
)
def test_a_store_that_cannot_be_opened_is_a_problem_with_what_to_do(url: str, told: str) -> None:
    """An unknown protocol, a driver that is missing, no URL at all: the reason in one line, and no secret."""
    if url.startswith("s3") and importlib.util.find_spec("s3fs") is not None:
        pytest.skip("the driver is there")
    (check,) = (one for one in run_checks(DoctorContext(store_url=url)) if one.id == "store")
    assert (check.severity, check.finding.startswith(told)) == ("problem", True), check.finding
    assert "secret" not in check.finding
    assert "--store" in check.advice


def test_a_remote_store_is_tried_with_an_object_that_goes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written, read back, removed; what fails, or never answers, is the refusal."""
    assert remote_refusal("memory://ioprof-doctor") is None
    with pytest.raises(FileNotFoundError):
        open_store("memory://ioprof-doctor").list()
    ended = threading.Event()

    def silent(url: str) -> LocalStore:
        ended.wait(60)
        raise StoreError("nobody listens any more")

    def refusing(url: str) -> LocalStore:
        return LocalStore("/proc/self/nowhere")

    monkeypatch.setattr(evidence_module, "open_store", silent)
    assert remote_refusal("memory://slow", timeout_s=0.01) == "memory://slow: no answer within 0.01 s"
    ended.set()

    monkeypatch.setattr(evidence_module, "open_store", refusing)
    assert "could not be written, read back and removed: " in str(remote_refusal("memory://refusing"))
