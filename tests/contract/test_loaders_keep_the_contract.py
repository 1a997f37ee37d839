"""The loaders of our own, held to what every loader must do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import ClassVar

import pytest
from ioprof.loaders.iterable import Wanted

from ioprof.contract import Loader
from ioprof.errors import SpecError
from ioprof.plugins import find_loader, list_loaders
from ioprof.testing import LoaderContract, SmallDataset

pytestmark = [
    pytest.mark.usefixtures("nothing_left"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


class TestNull(LoaderContract):
    """It reads nothing."""

    loader: ClassVar[type[Loader]] = find_loader("null")


class TestRawThreads(LoaderContract):
    """Two threads, samples by number, handed over as they were read."""

    loader: ClassVar[type[Loader]] = find_loader("raw")
    start_methods: ClassVar[tuple[str, ...] | None] = ()


class TestRawTensors(LoaderContract):
    """No workers; batches joined into three tensors."""

    loader: ClassVar[type[Loader]] = find_loader("raw")
    knobs: ClassVar[Mapping[str, object]] = {"workers": 0, "tensors_per_batch": 3}
    start_methods: ClassVar[tuple[str, ...] | None] = ()


class TestRawProcesses(LoaderContract):
    """Worker processes over a stream."""

    loader: ClassVar[type[Loader]] = find_loader("raw")
    knobs: ClassVar[Mapping[str, object]] = {"worker_type": "process"}

    def dataset(self, folder: Path) -> SmallDataset:
        """Write shards."""
        return SmallDataset.made(folder, "streaming-shards", {"sample_size": "5KiB", "format": "raw"})


class TestTarShards(LoaderContract):
    """Views of what was read."""

    loader: ClassVar[type[Loader]] = find_loader("tar-shards")
    start_methods: ClassVar[tuple[str, ...] | None] = ()


class TestParquet(LoaderContract):
    """pyarrow's own reading, two threads of ours."""

    loader: ClassVar[type[Loader]] = find_loader("parquet")
    start_methods: ClassVar[tuple[str, ...] | None] = ()


class TestParquetProcesses(LoaderContract):
    """The same in forked processes."""

    loader: ClassVar[type[Loader]] = find_loader("parquet")
    knobs: ClassVar[Mapping[str, object]] = {"worker_type": "process"}
    start_methods: ClassVar[tuple[str, ...] | None] = ("fork",)


class TestArrowMapped(LoaderContract):
    """Out of mappings, with pyarrow's threads."""

    loader: ClassVar[type[Loader]] = find_loader("arrow-ipc")
    knobs: ClassVar[Mapping[str, object]] = {"memory_map": True, "use_threads": True, "workers": 0}
    start_methods: ClassVar[tuple[str, ...] | None] = ()


class TestFsspecObjects(LoaderContract):
    """Three requests in flight in each of two processes."""

    loader: ClassVar[type[Loader]] = find_loader("fsspec-objects")
    knobs: ClassVar[Mapping[str, object]] = {"in_flight": 3, "worker_type": "process"}
    start_methods: ClassVar[tuple[str, ...] | None] = ("fork",)


class TestTokensMmap(LoaderContract):
    """Windows of tokens, copied out of mappings by two threads."""

    loader: ClassVar[type[Loader]] = find_loader("tokens-mmap")
    start_methods: ClassVar[tuple[str, ...] | None] = ()


class TestTokensMmapProcesses(LoaderContract):
    """The same in forked processes."""

    loader: ClassVar[type[Loader]] = find_loader("tokens-mmap")
    knobs: ClassVar[Mapping[str, object]] = {"worker_type": "process"}
    start_methods: ClassVar[tuple[str, ...] | None] = ("fork",)


def read_whole(wanted: Wanted) -> Iterator[list[bytes]]:
    """What a user might bring: files, read whole."""
    for start in range(0, len(wanted.paths), wanted.batch_size):
        yield [Path(path).read_bytes() for path in wanted.paths[start : start + wanted.batch_size]]


def broken(wanted: Wanted) -> Iterator[list[bytes]]:
    """What they might as well."""
    raise LookupError("a mistake of one's own")


class TestOwnIterable(LoaderContract):
    """A function of this very module."""

    loader: ClassVar[type[Loader]] = find_loader("iterable")
    knobs: ClassVar[Mapping[str, object]] = {"factory": f"{__name__}:read_whole"}

    def test_a_fault_of_the_dataset_is_told(self, tmp_path: Path) -> None:
        """Its own reader is the function's, and what that raises goes on as it is."""
        session = self.opened(self.dataset(tmp_path).job(), factory=f"{__name__}:broken")
        with closing(session), pytest.raises(LookupError, match="a mistake of one's own"):
            list(session.batches(0))

    @pytest.mark.parametrize(
        ("factory", "told"),
        [
            ("", "expected MODULE:FUNCTION"),
            ("json", "expected MODULE:FUNCTION"),
            ("no_such_module:f", "No module named 'no_such_module'"),
            ("json:no_such", "no attribute 'no_such'"),
        ],
    )
    def test_a_function_that_is_not_there_is_refused_at_once(self, factory: str, told: str) -> None:
        """Before anything is prepared."""
        with pytest.raises(SpecError, match=told):
            self.loader(self.loader.Params.model_validate({"factory": factory}))


class TestProcesses(LoaderContract):
    """Samples by number, in worker processes."""

    loader: ClassVar[type[Loader]] = find_loader("processes")
    start_methods: ClassVar[tuple[str, ...] | None] = ("fork",)


class TestTorchMap(LoaderContract):
    """torch's DataLoader."""

    loader: ClassVar[type[Loader]] = find_loader("torch-map")
    start_methods: ClassVar[tuple[str, ...] | None] = ("fork",)


class TestTorchIterable(LoaderContract):
    """torch's DataLoader over a stream."""

    loader: ClassVar[type[Loader]] = find_loader("torch-iterable")
    start_methods: ClassVar[tuple[str, ...] | None] = ("fork",)


def test_every_loader_of_our_own_is_held_to_the_contract() -> None:
    """None is forgotten."""
    tried = {one.loader.name for one in LoaderContract.__subclasses__()}
    needed = {one.name for one in list_loaders() if one.provider == "ioprof" and one.missing is None}
    of_extras = {name for name in needed if find_loader(name).requires}
    assert needed - of_extras <= tried
