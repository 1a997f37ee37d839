"""A workload of one's own: fixed-size records at random places of a few large files, as a feature store is read.

    ioprof run my-records --plugin docs/examples/my_workload.py --record-size 16KiB

The same class can be shipped in a package instead; then ioprof finds it without --plugin. In its pyproject.toml:

    [project.entry-points."ioprof.workloads"]
    my-records = "my_package.my_workload:MyRecords"

The contract is ioprof.contract.Workload, and MapWorkload for workloads whose samples have numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from pydantic import Field

from ioprof.contract import Access, Indices, ObjectSizes, PluginParams, SampleReader, Setting
from ioprof.spec.quantities import Bytes, Count
from ioprof.store.base import Store
from ioprof.store.tap import Tap


class MyParams(PluginParams):
    """Each field is a flag of `ioprof run` (`--record-size 16KiB`) and a key of the spec file."""

    files: Count = Field(8, ge=1, le=100_000, description="number of files")
    records: Count = Field(2000, ge=1, le=10**8, description="records in each file")
    record_size: Bytes = Field(64 * 1024, ge=1, le=2**30, description="bytes of one record; each is one sample")


class MyLayout:
    """What `prepare` stores. All is computed from the object's number; nothing is held in memory."""

    def __init__(self, params: MyParams, seed: int) -> None:
        self.count = params.files
        self._records, self._record_bytes, self._seed = params.records, params.record_size, seed

    def identity(self) -> dict[str, str | int | float | bool]:
        """Return what decides the stored bytes: equal identities share one dataset."""
        return {
            "files": self.count, "records": self._records, "record_bytes": self._record_bytes, "seed": self._seed,
        }  # fmt: skip

    def path(self, index: int) -> str:
        """Return where object ``index`` lies below the dataset's folder."""
        return f"features-{index:05d}.bin"

    def directories(self) -> Iterator[str]:
        """Yield the folders to make: none."""
        yield from ()

    def sizes(self, start: int, stop: int) -> Indices:
        """Return the sizes in bytes of objects ``start`` to ``stop`` - 1."""
        return np.full(stop - start, self._records * self._record_bytes, np.int64)

    def render(self, index: int, size_bytes: int) -> bytes:
        """Return the content of object ``index``: incompressible, and always the same."""
        bits = np.random.PCG64(np.random.SeedSequence((self._seed, index))).random_raw(-(-size_bytes // 8))
        return bits.tobytes()[:size_bytes]


class MyReader:
    """Reads samples inside a worker. It is pickled and sent there, so it holds numbers and no open files."""

    def __init__(self, layout: MyLayout, records: int, record_bytes: int) -> None:
        self._layout, self._records, self._record_bytes = layout, records, record_bytes

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[bytes | memoryview]:
        """Return the records with these numbers. Every operation goes through the tap, which times it."""
        found: list[bytes | memoryview] = []
        for sample in samples:
            index, record = divmod(sample, self._records)
            try:
                with tap.open_file(self._layout.path(index), index) as file:
                    found.append(file.read_at(record * self._record_bytes, self._record_bytes))
            except OSError:
                tap.lose(1)  # the tap has recorded which operation failed and how; the run goes on without it
        return found


class MyRecords:
    """Random records of a few large files."""

    name: ClassVar[str] = "my-records"
    summary: ClassVar[str] = "random records of a few large files, as a feature store is read"
    Params: ClassVar[type[PluginParams]] = MyParams
    reference_model: ClassVar[str | None] = None  # no published step times: the busy time per batch is set below
    access: ClassVar[Access] = "map"
    defaults: ClassVar[Mapping[str, Setting]] = {"accelerator.compute": "20ms"}

    def __init__(self, params: MyParams, seed: int) -> None:
        self._params, self._seed = params, seed

    def layout(self) -> MyLayout:
        """Return the objects to store."""
        return MyLayout(self._params, self._seed)

    def samples(self) -> int:
        """Return the number of records."""
        return self._params.files * self._params.records

    def order(self, epoch: int) -> Indices:
        """Return a new random order for every epoch, the same one for the same seed."""
        return np.random.default_rng((self._seed, epoch)).permutation(self.samples())

    def discover(self, store: Store, tap: Tap) -> int:
        """Find the files as a training script does when it starts; return the number of samples."""
        return sum(entry.name.startswith("features-") for entry in tap.list("")) * self._params.records

    def reader(self, sizes: ObjectSizes) -> SampleReader:
        """Return what workers read samples with."""
        return MyReader(self.layout(), self._params.records, self._params.record_size)
