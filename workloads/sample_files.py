"""What benchmark configurations describe: files of samples, what is read of them, and what reaches the batch.

The common part of the `mlperf-*` presets and of configurations of DLIO: which files stand on the store, in which
order their samples are wanted, and how one is read: as one open and one read of the whole file, or, in indexed_binary,
at its offset, through descriptors that a worker keeps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from ioprof.workloads.framed import FramedLayout, NpyFrame, NpzFrame
from ioprof.workloads.seeded_order import seeded_order

from ioprof.contract import Indices, MlperfRules, ObjectSizes, SampleReader
from ioprof.dataset.layout import OpaqueLayout
from ioprof.dataset.sizes import Fixed, Normal
from ioprof.errors import SpecError
from ioprof.store.base import Store
from ioprof.store.open_files import OpenFiles
from ioprof.store.tap import Tap
from ioprof.store.tap_file import TapFile

FileFormat = Literal["npz", "npy", "jpeg", "png", "indexed_binary"]
Shuffle = Literal["off", "once", "epoch"]
Content = bytes | memoryview
_MOST_OPEN = 64
"""Descriptors that one worker keeps; the one unused for longest goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSet:
    """Files of samples, and how a training job reads them."""

    format: FileFormat
    """npz, npy: samples in one array of numpy's containers. jpeg, png: one sample of random bytes (nothing decodes
    them). indexed_binary: samples of one size, end to end."""
    files: int
    samples_per_file: int
    record_bytes: int
    """Mean size of a sample; its container's own bytes come on top."""
    record_stdev_bytes: int = 0
    delivered_bytes: int | None = None
    """What of each sample goes into the batch, as after a resize; None: all that was read."""
    preprocess_ns: int = 0
    """Slept for each sample once it is read."""
    shuffle: Shuffle = "epoch"
    """off: in the order of the files; once: one random order; epoch: another for each epoch."""
    files_per_dir: int = 1_000_000
    threshold: float | None = None
    """Utilisation by MLPerf Storage's formula that a run must reach."""
    epochs: int | None = None
    """Epochs that the benchmark asks for."""
    deviations: tuple[str, ...] = ()
    """How this differs from what is published."""


def layout_of(files: FileSet, seed: int) -> OpaqueLayout | FramedLayout:
    """Return the files to store.

    Raises:
        SpecError: the format cannot hold what is described.
    """
    each = files.samples_per_file
    if files.format in ("jpeg", "png") and each != 1:
        raise SpecError(f"{each:,} samples per file of format {files.format}: a picture is one sample")
    if files.format == "indexed_binary":
        if files.record_stdev_bytes:
            raise SpecError("samples of differing sizes in indexed_binary: their offsets would need an index; use 0")
        size_bytes = files.record_bytes * files.samples_per_file
        return OpaqueLayout(count=files.files, sizes=Fixed(size_bytes), files_per_dir=files.files_per_dir, seed=seed)
    sizes = Normal(files.record_bytes * each, files.record_stdev_bytes * each)
    if files.format in ("jpeg", "png"):
        return OpaqueLayout(count=files.files, sizes=sizes, files_per_dir=files.files_per_dir, seed=seed)
    largest_bytes = files.record_bytes * each * (2 if files.record_stdev_bytes else 1)
    return FramedLayout(
        NpzFrame() if files.format == "npz" else NpyFrame(),
        count=files.files,
        sizes=sizes,
        files_per_dir=files.files_per_dir,
        seed=seed,
        largest_bytes=largest_bytes,
    )


class Sleep:
    """Stands for a preprocessing time: sleeps, as DLIO does, and leaves the sample as it is; picklable."""

    def __init__(self, duration_ns: int) -> None:
        self._seconds = duration_ns / 1e9

    def __call__(self, content: Content) -> Content:
        """Return the sample after the time."""
        time.sleep(self._seconds)
        return content


class Finish:
    """What is done with a sample once it is read; picklable."""

    def __init__(self, preprocess_ns: int, delivered_bytes: int | None) -> None:
        """Say what.

        Args:
            preprocess_ns: slept for each sample.
            delivered_bytes: what is handed on of each, zeros behind a shorter one, as after a resize; None: all of it.
        """
        self._sleep = Sleep(preprocess_ns) if preprocess_ns else None
        self._delivered_bytes = delivered_bytes

    def __call__(self, tap: Tap, content: Content, obj: int) -> Content:
        """Spend the time and return what goes into the batch."""
        if self._sleep is not None:
            content = tap.decode(self._sleep, content, obj)
        if self._delivered_bytes is None:
            return content
        # A copy, not a view: a view would keep all of a large sample in memory until its batch is made.
        return bytes(content[: self._delivered_bytes]).ljust(self._delivered_bytes, b"\0")


class WholeFilesReader:
    """Reads a whole file for each sample, also where files hold several, as DLIO does; picklable."""

    def __init__(self, layout: OpaqueLayout | FramedLayout, sizes: ObjectSizes, files: FileSet) -> None:
        self._layout = layout
        self._sizes = sizes
        self._each = files.samples_per_file
        self._finish = Finish(files.preprocess_ns, files.delivered_bytes)

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[Content]:
        """Return what each sample delivers; files that could not be read are left out."""
        objects = samples if self._each == 1 else [sample // self._each for sample in samples]
        paths, sizes_bytes = self._layout.paths(objects, tap.root), self._sizes.of(objects)
        delivered = []
        # One file after the other: a batch of large ones must not stand in memory whole before it is cut down.
        for path, size_bytes, obj, sample in zip(paths, sizes_bytes, objects, samples, strict=True):
            for content in tap.read_objects([path], [size_bytes], [obj]):
                delivered.append(self._finish(tap, self._part(content, sample), obj))
        return delivered

    def _part(self, content: bytes, sample: int) -> Content:
        """Return a sample's own bytes out of its file."""
        if self._each == 1 or not isinstance(self._layout, FramedLayout):
            return content
        frame = self._layout.frame
        length = (len(content) - frame.head_bytes - frame.tail_bytes) // self._each
        start = frame.head_bytes + sample % self._each * length
        return memoryview(content)[start : start + length]


class RecordsReader:
    """Reads samples at their offsets in shared files; picklable."""

    def __init__(self, layout: OpaqueLayout, files: FileSet) -> None:
        self._layout = layout
        self._files = files
        self._finish = Finish(files.preprocess_ns, files.delivered_bytes)

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[Content]:
        """Return what each sample delivers; those that could not be read are left out."""
        files, record_bytes = tap.kept or self._kept(tap), self._files.record_bytes
        delivered = []
        for sample in samples:
            obj, place = divmod(sample, self._files.samples_per_file)
            try:
                content = files.file(obj).read_at(place * record_bytes, record_bytes)
            except OSError:
                tap.lose(1)  # the tap has recorded the operation and its error
                continue
            delivered.append(self._finish(tap, content, obj))
        return delivered

    def _kept(self, tap: Tap) -> OpenFiles:
        tap.kept = OpenFiles(_MOST_OPEN, partial(self._opened, tap))
        return tap.kept

    def _opened(self, tap: Tap, obj: int) -> TapFile:
        return tap.open_file(self._layout.path(obj), obj)


class SampleFiles:
    """The machinery of a map-style workload over a `FileSet`; plug-ins add their name and parameters."""

    def __init__(self, files: FileSet, seed: int) -> None:
        self._files = files
        self._seed = seed
        self._layout = layout_of(files, seed)

    def layout(self) -> OpaqueLayout | FramedLayout:
        """Return the files to store."""
        return self._layout

    def samples(self) -> int:
        """Return the number of samples in all files."""
        return self._files.files * self._files.samples_per_file

    def order(self, epoch: int) -> Indices:
        """Return the samples in the order of ``epoch``, which depends on seed and epoch alone."""
        drawn = 0 if self._files.shuffle == "once" else epoch
        return seeded_order(self.samples(), self._seed, drawn, shuffle=self._files.shuffle != "off")

    def discover(self, store: Store, tap: Tap) -> int:
        """List the files as a script does when it starts; return the samples they hold."""
        found = sum(
            not entry.is_dir and not entry.name.startswith(".")
            for directory in self._layout.directories()
            for entry in tap.list(directory)
        )
        return found * self._files.samples_per_file

    def reader(self, sizes: ObjectSizes) -> SampleReader:
        """Return the reader of one sample per file, or of many."""
        if self._files.format == "indexed_binary" and isinstance(self._layout, OpaqueLayout):
            return RecordsReader(self._layout, self._files)
        return WholeFilesReader(self._layout, sizes, self._files)

    def mlperf_rules(self) -> MlperfRules:
        """Return what MLPerf Storage would ask of a run."""
        return MlperfRules(
            record_bytes=self._files.record_bytes,
            samples_per_file=self._files.samples_per_file,
            threshold=self._files.threshold,
            epochs=self._files.epochs,
            deviations=self._files.deviations,
        )
