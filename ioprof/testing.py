"""What authors of loaders import into their tests: a small dataset, and the checks that every loader must pass.

    from ioprof.testing import LoaderContract

    class TestMyLoader(LoaderContract):
        loader = MyLoader

pytest collects the checks with the class; each takes a new folder and leaves nothing behind. `knobs` sets parameters.
"""

from __future__ import annotations

import gc
import os
import pickle
import signal
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from multiprocessing import resource_tracker
from pathlib import Path
from typing import ClassVar, cast

from ioprof.contract import (
    Batch,
    Capabilities,
    Loader,
    LoaderSession,
    LoadJob,
    MapWorkload,
    Part,
    SampleReader,
    SampleStream,
    StreamWorkload,
    WorkerJob,
    Workload,
)
from ioprof.dataset.object_sizes import LayoutSizes
from ioprof.errors import CaveatWarning
from ioprof.host.process_tree import children_of
from ioprof.plugin_check import broken_promise
from ioprof.plugins import find_workload
from ioprof.runner.source import order_of, source_of, stored_of
from ioprof.store.local import LocalStore
from ioprof.store.local_tap import tap_store
from ioprof.store.tap import Tap
from ioprof.trace.recorder import Recorder

NAMED_WITHIN_S = 5.0
"""How soon the death of a worker must be told."""
_SHARED = Path("/dev") / "shm"
_ENDING_S = 2.0
_SEED = 7
_SAMPLES = {"files": 50, "shards": 5, "samples_per_shard": 10, "files_per_dir": 20}
_SHAPES: Mapping[str, tuple[str, Mapping[str, object]]] = {
    "map": ("small-files", {"file_size": "uniform:1-9KiB"}),
    "stream": ("streaming-shards", {"sample_size": "5KiB", "row_group": 4, "shuffle_buffer": 0}),
    "files": ("small-files", {"file_size": "uniform:1-9KiB"}),
    "tokens": ("token-stream", {"files": 2, "file_size": 12_802, "sequence_length": 256, "document_tokens": 50}),
}


@dataclass(frozen=True, kw_only=True)
class SmallDataset:
    """Fifty samples of a workload, on a store in a folder."""

    workload: Workload
    store: LocalStore
    trace_dir: str

    @classmethod
    def made(cls, folder: Path, name: str, params: Mapping[str, object]) -> SmallDataset:
        """Write the objects of a workload below ``folder``."""
        plugin = find_workload(name)
        known = {key: value for key, value in _SAMPLES.items() if key in plugin.Params.model_fields}
        workload = plugin(plugin.Params.model_validate({**known, **params}), _SEED)
        (folder / "trace").mkdir()
        store, layout = LocalStore(str(folder / "store")), workload.layout()
        for directory in ("", *layout.directories()):
            store.make_dir(directory)
        for obj, size_bytes in enumerate(layout.sizes(0, layout.count).tolist()):
            store.write(layout.path(obj), bytes(layout.render(obj, size_bytes)))
        return cls(workload=workload, store=store, trace_dir=str(folder / "trace"))

    def job(self, *, stop_requested: Callable[[], bool] = lambda: False) -> LoadJob:
        """Return the job of delivering all of it, eight samples a batch."""
        sizes = LayoutSizes(self.workload.layout())
        worker = WorkerJob(
            source=source_of(self.workload, sizes),
            store=self.store,
            trace_dir=self.trace_dir,
            rank=0,
            warmup_batches=1,
            span_budget=10**6,
            overhead_budget=1.0,
        )
        return LoadJob(
            worker=worker,
            order=order_of(self.workload),
            samples=self.workload.samples(),
            batch_size=8,
            drop_last=False,
            stop_requested=stop_requested,
            stored=stored_of(self.workload, sizes),
        )

    def contents(self) -> Counter[bytes]:
        """Return the samples, as the workload itself reads them."""
        recorder = Recorder(self.trace_dir, rank=99, worker=0, span_budget=1)
        tap = tap_store(self.store, recorder)
        try:
            return Counter(map(bytes, self._read(tap)))
        finally:
            tap.close()
            recorder.close()

    def _read(self, tap: Tap) -> Iterator[bytes | memoryview]:
        sizes = LayoutSizes(self.workload.layout())
        if self.workload.access == "stream":
            stream = cast("StreamWorkload", self.workload).stream(sizes)
            return stream.samples(tap, 0, Part(index=0, count=1))
        reader = cast("MapWorkload", self.workload).reader(sizes)
        return iter(reader.read(tap, range(self.workload.samples())))


@dataclass(slots=True)
class _Left:
    """What of this process is there, to be compared with what is there later."""

    children: set[int] = field(init=False)
    descriptors: dict[str, str] = field(init=False)
    """What each is of, by its number."""
    threads: set[threading.Thread] = field(default_factory=lambda: set(threading.enumerate()))
    shared: set[str] = field(default_factory=lambda: set(os.listdir(_SHARED)))

    def __post_init__(self) -> None:
        # Python's own helper, which stays for as long as the process; it must not be taken for something left.
        resource_tracker.ensure_running()
        self.children, self.descriptors = set(children_of(os.getpid())), _open_descriptors()

    def check(self, *, but: str | None = None) -> None:
        """Fail where something has been left; threads and processes that are about to end may take a moment.

        Args:
            but: descriptors of files whose paths begin so may stay.
        """
        deadline_s = time.monotonic() + _ENDING_S
        while (left := self._found(but)) and time.monotonic() < deadline_s:
            time.sleep(0.01)
        _check(not left, "; ".join(left))

    def _found(self, but: str | None) -> list[str]:
        gc.collect()  # what an error's traceback holds, it holds no longer
        after = _Left()
        found = {
            "processes": after.children - self.children,
            "threads": after.threads - self.threads,
            "shared memory": {name for name in after.shared - self.shared if f"_{os.getpid()}_" in name},
            "descriptors": self._more_descriptors(after, but),
        }
        return [f"{what} left: {left}" for what, left in found.items() if left]

    def _more_descriptors(self, after: _Left, but: str | None) -> set[str]:
        """Return descriptors that are new, where there are more than before: some are only opened anew meanwhile."""
        there = {name: told for name, told in after.descriptors.items() if but is None or not told.startswith(but)}
        if len(there) <= len(self.descriptors):
            return set()
        return {f"{name}: {told}" for name, told in there.items() if self.descriptors.get(name) != told}


def _open_descriptors() -> dict[str, str]:
    """Return what descriptors are of, by number, those of memory that multiprocessing keeps for later left out."""
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing itself
            found[name] = str(Path("/proc/self/fd", name).readlink())
    return {name: told for name, told in found.items() if "/pym-" not in told}


class Failing:
    """Reads nothing: raises; for map-style jobs and streams; picklable."""

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes]:
        """Fail, as a user's dataset does."""
        raise LookupError("a fault of the dataset's own")

    def samples(self, tap: Tap, epoch: int, part: Part) -> Iterator[bytes]:
        """Fail likewise."""
        raise LookupError("a fault of the dataset's own")


class LoaderContract:
    """What every loader must do. Subclass it, and name the loader."""

    loader: ClassVar[type[Loader]]
    knobs: ClassVar[Mapping[str, object]] = {}
    """Parameters other than the defaults."""
    start_methods: ClassVar[tuple[str, ...] | None] = None
    """Those to be tried; None: all that it declares. Each costs the imports of its workers."""

    def dataset(self, folder: Path) -> SmallDataset:
        """Write what the loader is to deliver; here, what its `accepts` and `formats` ask for."""
        formats = sorted(self.loader.capabilities.formats)
        if not formats:
            name, params = _SHAPES["stream" if self.loader.accepts == {"stream"} else "map"]
        elif formats[0] in _SHAPES:
            name, params = _SHAPES[formats[0]]
        else:
            name, params = _SHAPES["stream"]
            params = {**params, "format": formats[0]}
        return SmallDataset.made(folder, name, params)

    def opened(self, job: LoadJob, **knobs: object) -> LoaderSession:
        """Open the loader."""
        loader = self.loader(self.loader.Params.model_validate({**self.knobs, **knobs}))
        loader.load()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", CaveatWarning)
            return loader.open(job)

    def test_it_describes_itself(self) -> None:
        """All that the registry asks for is there; its parameters have defaults and descriptions, and can be sent."""
        problem = broken_promise(self.loader, "loader")
        _check(problem is None, str(problem))
        able = self.loader.capabilities
        _check(isinstance(able, Capabilities) and bool(able.workers), "capabilities name no workers")
        wrong = "start_methods, and no worker processes"
        _check(not able.start_methods or bool({"process", "engine"} & set(able.workers)), wrong)
        params = self.loader.Params.model_validate(self.knobs)
        _check(pickle.loads(pickle.dumps(params)) == params, "its parameters change when they are sent")  # noqa: S301

    def test_two_epochs_deliver_every_sample_once_each(self, tmp_path: Path) -> None:
        """Numbers go on and are unique; stamps are in order or -1; the bytes are those of the samples."""
        left, data = _Left(), self.dataset(tmp_path)
        numbers, delivered = list[int](), list[tuple[int, bytes | None]]()
        with closing(self.opened(data.job())) as session:
            for epoch in (0, 1):
                samples = size_bytes = 0
                for batch in session.batches(epoch):
                    _check_stamps(batch)
                    numbers.append(batch.number)
                    samples, size_bytes = samples + batch.samples, size_bytes + batch.size_bytes
                    delivered.append((epoch, bytes_of(batch.data)))
                    del batch
                _check(samples == data.workload.samples(), f"epoch {epoch}: {samples} samples")
                _check((size_bytes > 0) == self.loader.reads_storage, f"epoch {epoch}: {size_bytes} bytes")
            session.close()
        _check(len(set(numbers)) == len(numbers), f"numbers come twice: {numbers}")
        if self.loader.capabilities.ordered == "always":
            _check(numbers == sorted(numbers), f"numbers are out of order: {numbers}")
        _check(session.process_ids() == [], "processes are named after the end")
        left.check()
        self._check_bytes(data, delivered)

    def _check_bytes(self, data: SmallDataset, delivered: Sequence[tuple[int, bytes | None]]) -> None:
        """Compare what came with what the workload reads, where samples are handed over."""
        if any(content is None for _, content in delivered):
            return
        wanted = data.contents()
        for epoch in (0, 1):
            joined = b"".join(content for at, content in delivered if at == epoch and content is not None)
            _check(len(joined) == sum(len(one) * count for one, count in wanted.items()), "bytes are missing")
            _check(all(one in joined for one in wanted), f"epoch {epoch}: a sample is missing or differs")

    def test_an_epoch_that_is_left_half_way_does_no_harm(self, tmp_path: Path) -> None:
        """The next one is whole, and nothing is left when it is closed in the middle of a third."""
        left, data = _Left(), self.dataset(tmp_path)
        with closing(self.opened(data.job())) as session:
            begun = session.batches(0)
            next(begun)
            getattr(begun, "close", list)()
            whole = sum(batch.samples for batch in session.batches(1))
            _check(whole == data.workload.samples(), f"{whole} samples in the epoch after it")
            third = session.batches(2)
            next(third)
        del third, begun
        left.check()

    def test_it_ends_when_it_is_asked_to(self, tmp_path: Path) -> None:
        """No batch is made beyond those in flight once `stop_requested` says so."""
        left, data, stop, made = _Left(), self.dataset(tmp_path), False, 0
        with closing(self.opened(data.job(stop_requested=lambda: stop))) as session:
            for epoch in range(3):
                before = made
                for batch in session.batches(epoch):
                    made, stop = made + 1, True
                    del batch
                if made == before:
                    break
            _check(made == before, "epochs go on")
        _check(made <= self._in_flight() + 2, f"{made} batches after it was told to stop with the first")
        left.check()

    def _in_flight(self) -> int:
        params = self.loader.Params.model_validate(self.knobs)
        return max(1, int(getattr(params, "workers", 1))) * int(getattr(params, "prefetch", 1))

    def test_a_fault_of_the_dataset_is_told(self, tmp_path: Path) -> None:
        """What the reader raised is named; what was begun is closed."""
        if self.loader.capabilities.formats or not self.loader.reads_storage:
            return
        left, job, told = _Left(), self.dataset(tmp_path).job(), ""
        source = cast("SampleReader | SampleStream", Failing())
        with closing(self.opened(replace(job, worker=replace(job.worker, source=source)))) as session:
            try:
                list(session.batches(0))
            except Exception as error:  # noqa: BLE001 - whatever it is, it must name the fault
                told = f"{error} {error.__cause__}"
            _check("a fault of the dataset's own" in told, f"it is not named: {told}")
        del session
        left.check()

    def test_a_killed_worker_is_named(self, tmp_path: Path) -> None:
        """Within five seconds, and closing afterwards leaves nothing."""
        left, data = _Left(), self.dataset(tmp_path)
        with closing(self.opened(data.job())) as session:
            victim, took_s, died = _killed(session)
            _check(victim is None or took_s < NAMED_WITHIN_S, f"it took {took_s:.1f} s")
            _check(died == ([] if victim is None else [victim]), f"{died} are named in place of {victim}")
        # torch tries whether files can still be opened once a connection breaks, and its own handler of the worker's
        # death may strike while one is: its descriptor is lost then, whatever a loader does.
        left.check(but=str(Path(tempfile.gettempdir(), "tmp")))

    def test_every_start_method(self, tmp_path: Path) -> None:
        """What workers are handed survives the journey to a new process."""
        methods = self.loader.capabilities.start_methods if self.start_methods is None else self.start_methods
        for method in methods:
            folder = tmp_path / method
            folder.mkdir()
            data = self.dataset(folder)
            with closing(self.opened(data.job(), start_method=method)) as session:
                samples = sum(batch.samples for batch in session.batches(0))
            _check(samples == data.workload.samples(), f"{method}: {samples} samples")


def _killed(session: LoaderSession) -> tuple[int | None, float, list[int]]:
    """Kill a worker; return its id, how long the session took to fail, and whom it names; None: it has none."""
    begun_s = 0.0
    victim: int | None = None
    try:
        for epoch in range(2000):
            for _ in session.batches(epoch):
                if victim is not None:
                    continue
                if not (alive := session.process_ids()):
                    return None, 0.0, []
                victim, begun_s = alive[-1], time.monotonic()
                os.kill(victim, signal.SIGKILL)
    except Exception:  # noqa: BLE001 - which error it is depends on chance; who died is asked below
        try:
            dead = session.dead_workers()
        except RuntimeError:  # a loader's signal handler struck meanwhile; it does so once
            dead = session.dead_workers()
        return victim, time.monotonic() - begun_s, [one.pid for one in dead]
    return victim, float("inf"), []


def _check_stamps(batch: Batch) -> None:
    stamps = (batch.dispatch_ns, batch.fetch_start_ns, batch.fetch_end_ns, batch.collate_end_ns)
    known = [stamp for stamp in stamps if stamp != -1]
    _check(known == sorted(known), f"stamps are not in order: {stamps}")


def bytes_of(payload: object) -> bytes | None:
    """Return the samples' bytes of a batch's payload, one after the other; None where it holds none."""
    if payload is None:
        return None
    if isinstance(payload, bytes | bytearray | memoryview):
        return bytes(payload)
    if isinstance(payload, list | tuple):
        parts = [bytes_of(part) for part in payload]
        return None if any(part is None for part in parts) else b"".join(part for part in parts if part is not None)
    as_array = getattr(payload, "numpy", None)
    return bytes(as_array().tobytes()) if callable(as_array) else None


def _check(holds: bool, message: str) -> None:
    if not holds:
        raise AssertionError(message)
