"""All that the checks of `ioprof doctor` look at, gathered once; the checks themselves are pure."""

from __future__ import annotations

import os
import queue
import re
import tempfile
import threading
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

from ioprof.errors import StoreError
from ioprof.host.facts import clock_facts, host_facts, package_versions
from ioprof.host.other_load import OtherLoad, OtherRun, other_load, other_runs
from ioprof.host.page_cache_probe import Eviction, has_cachestat, try_eviction
from ioprof.host.store_facts import nearest_existing, store_facts
from ioprof.host.text import Scalar, read_int, read_text
from ioprof.store.compiled import VARIABLE
from ioprof.store.object_reads import Reads, reads_in_use
from ioprof.store.open_store import open_store
from ioprof.store.throttled_url import below_url

_REMOTE_S = 20.0
"""How long a store over the network may take to answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorContext:
    """What is asked of this host; whatever is None is not known yet and its checks are left out."""

    store_url: str
    """As the user wrote it."""
    dataset_bytes: int | None = None
    """Bytes of all objects."""
    needed_bytes: int | None = None
    """What preparing the dataset would still take of the store; 0: it stands complete."""
    needed_inodes: int | None = None
    dataset_refusal: str | None = None
    """Why the dataset cannot be prepared there (another stands in its place...); None: it can."""
    evicts: bool = False
    """Whether the run evicts the dataset from the page cache before each epoch."""
    workers: int | None = None
    prefetch: int | None = None
    """Batches each worker prepares ahead."""
    batch_bytes: int | None = None
    shares_memory: bool = True
    """Whether batches travel from workers through /dev/shm."""
    writes: bool = False
    """Whether the run writes to the store while it goes on."""
    standing: int = 0
    """Datasets that stand complete at the store; only counted where no run is named."""
    proc: Path = Path("/proc")
    sys: Path = Path("/sys")

    @property
    def store_path(self) -> Path | None:
        """The store as a local path; None where it is not local."""
        return local_path(self.store_url)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facilities:
    """What the kernel offers to look inside a run."""

    pressure: bool
    schedstat: bool
    process_io: bool
    cachestat: bool
    drop_caches: bool
    delay_accounting: bool | None
    """None: the kernel has no such switch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cuda:
    """CUDA as far as it can be told without importing torch."""

    torch_cuda: int | None
    """Major version of the CUDA that torch was built for; None: a build without CUDA, or not told."""
    is_cpu_build: bool
    driver: int | None
    """Major version of the NVIDIA kernel driver; None: none is loaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Facts for the checks."""

    context: DoctorContext
    host: dict[str, Scalar]
    clock: dict[str, Scalar]
    store: dict[str, Scalar] | None
    """None: the store is not a local path."""
    store_refusal: str | None = None
    """Why the store cannot be reached or written; None: it can."""
    eviction: Eviction | str | None = None
    """A text says why it could not be tried; None: the store is not a local path."""
    versions: dict[str, str] = field(default_factory=dict)
    reads: Reads
    """Which loop reads whole objects."""
    reads_are_chosen: bool = False
    """Whether that is so because the environment says it."""
    cuda: Cuda
    facilities: Facilities
    load: OtherLoad | None = None
    runs: list[OtherRun] = field(default_factory=list)


def gather(context: DoctorContext) -> Evidence:
    """Look at the host and the store; takes about 0.6 s, and 1 MiB written at the store and removed."""
    refusal, versions = open_refusal(context.store_url), package_versions()
    path = context.store_path if refusal is None else None
    if refusal is None:
        refusal = write_refusal(path) if path else remote_refusal(context.store_url)
    return Evidence(
        context=context,
        host=host_facts(context.proc, context.sys),
        clock=clock_facts(context.sys),
        store=store_facts(path, context.proc, context.sys) if path else None,
        store_refusal=refusal,
        eviction=try_eviction(nearest_existing(path)) if path else None,
        versions=versions,
        reads=reads_in_use(),
        reads_are_chosen=VARIABLE in os.environ,
        cuda=cuda_facts(versions.get("torch", ""), context.proc),
        facilities=_facilities(context.proc),
        load=other_load(context.proc),
        runs=other_runs(context.proc),
    )


def local_path(store_url: str) -> Path | None:
    """Return the local path a store URL means; None where it means something else."""
    store_url = below_url(store_url)
    scheme, separator, rest = store_url.partition("://")
    if not separator:
        return Path(store_url.removeprefix("local:")).expanduser()
    return Path(rest) if scheme in ("file", "local") else None


def open_refusal(store_url: str) -> str | None:
    """Return why a URL is none that a store can be made of; None: it is one."""
    try:
        open_store(store_url)
    except StoreError as error:
        return str(error)
    return None


def remote_refusal(store_url: str, timeout_s: float = _REMOTE_S) -> str | None:
    """Return why a store that is no local path cannot be used; None: an object was written, read back and removed."""
    answers: queue.Queue[str | None] = queue.Queue()
    # A client may wait for a dead server for minutes, and cannot be interrupted: it is left behind.
    threading.Thread(target=lambda: answers.put(_trial(store_url)), daemon=True).start()
    try:
        return answers.get(timeout=timeout_s)
    except queue.Empty:
        return f"{shown_url(store_url)}: no answer within {timeout_s:g} s"


def _trial(store_url: str) -> str | None:
    name, content = f".ioprof-doctor-{os.getpid()}", b"ioprof doctor"
    try:
        store = open_store(store_url)
        store.write(name, content)
        try:
            found = store.read(name)
        finally:
            store.unlink(name)
    except (OSError, StoreError) as error:
        told = shown_url(" ".join(str(error).split())) or type(error).__name__
        return f"{shown_url(store_url)}: an object could not be written, read back and removed: {told}"
    return None if found == content else f"{shown_url(store_url)}: gives back another object than was written"


def shown_url(text: str) -> str:
    """Return a URL, or a text that holds one, as people may see it: without user, password and query values."""
    if "://" not in text:
        return text
    # Imported here: this module brings fsspec along, which plain paths never need.
    from ioprof.store.fsspec_store import without_credentials

    return without_credentials(text)


def write_refusal(path: Path) -> str | None:
    """Return why nothing can be written at ``path``, which may not exist yet; None: it can."""
    existing = nearest_existing(path)
    if not existing.is_dir():
        return f"{existing} is not a directory"
    if not os.access(existing, os.W_OK | os.X_OK):
        return f"{existing} is not writable for user {os.geteuid()}"
    # Permissions do not tell it all: servers map root to nobody, and some file systems take no files.
    try:
        with tempfile.TemporaryFile(dir=existing, prefix=".ioprof-doctor-"):
            return None
    except OSError as error:
        return f"{existing} takes no files: {error.strerror or error}"


def cuda_facts(torch_version: str, proc: Path = Path("/proc")) -> Cuda:
    """Return what torch's version and the loaded driver say about CUDA."""
    tag = re.search(r"\+cu(\d+)\d$", torch_version)
    driver = re.search(r"Kernel Module\D*?(\d+)\.\d", _without_machine(proc))
    return Cuda(
        torch_cuda=int(tag[1]) if tag else _cuda_runtime(),
        is_cpu_build=torch_version.endswith("+cpu"),
        driver=int(driver[1]) if driver else None,
    )


def _without_machine(proc: Path) -> str:
    """The driver's version line; newer ones name the machine (x86_64), whose digits are not a version."""
    return re.sub(r"for \S+", "", read_text(proc / "driver/nvidia/version") or "")


def _cuda_runtime() -> int | None:
    """Wheels from PyPI do not tell their CUDA in torch's version; the runtime they depend on does."""
    for name in ("nvidia-cuda-runtime", "nvidia-cuda-runtime-cu13", "nvidia-cuda-runtime-cu12"):
        try:
            return int(metadata.version(name).split(".")[0])
        except metadata.PackageNotFoundError:
            continue
    return None


def _facilities(proc: Path) -> Facilities:
    delay = read_int(proc / "sys/kernel/task_delayacct")
    return Facilities(
        pressure=read_text(proc / "pressure/io") is not None,
        schedstat=read_text(proc / "self/schedstat") is not None,
        process_io=read_text(proc / "self/io") is not None,
        cachestat=has_cachestat(),
        drop_caches=os.access(proc / "sys/vm/drop_caches", os.W_OK),
        delay_accounting=None if delay is None else delay == 1,
    )
