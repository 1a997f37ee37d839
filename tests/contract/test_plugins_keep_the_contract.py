"""What every installed workload and loader must do, whoever wrote it."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from ioprof.contract import Loader, Part, PluginParams, Workload
from ioprof.plugins import find_loader, find_workload, list_loaders, list_workloads
from ioprof.store.local import LocalStore
from ioprof.store.local_tap import tap_store
from ioprof.trace.recorder import Recorder
from tests.small_dataset import KnownSizes

WORKLOADS = [one.name for one in list_workloads() if one.missing is None]
LOADERS = [one.name for one in list_loaders() if one.missing is None]
SEED = 20_261_123
FEW = {
    "files": 30, "samples_per_file": 5, "record_size": "3KiB",
    "shards": 3, "samples_per_shard": 5, "sample_size": "3KiB",
}  # fmt: skip
FEW_OF_LARGE = {"file_size": "300KiB", "record_size": "20KiB", "sequence_length": 1000}
"""For workloads whose files hold many samples each: those would be too large to make here."""
MANY = {"files": "5M", "shards": "5M"}


def _small(workload: type[Workload]) -> Workload:
    """Return the workload with its defaults, but few objects where it can be told so."""
    large = _known(workload, FEW_OF_LARGE)
    few = _known(workload, FEW) | (large if large.keys() - {"file_size"} else {})
    return workload(workload.Params.model_validate(few), SEED)


def _known(workload: type[Workload], values: dict[str, int | str]) -> dict[str, int | str]:
    """Return the parameters among these that a workload has."""
    return {key: value for key, value in values.items() if key in workload.Params.model_fields}


@pytest.fixture(params=WORKLOADS)
def workload(request: pytest.FixtureRequest) -> type[Workload]:
    """Return each installed workload."""
    return find_workload(request.param)


@pytest.fixture(params=LOADERS)
def loader(request: pytest.FixtureRequest) -> type[Loader]:
    """Return each installed loader that can be used here."""
    return find_loader(request.param)


def _check_params(params: type[PluginParams]) -> None:
    assert issubclass(params, PluginParams)
    assert (params.model_config["frozen"], params.model_config["extra"]) == (True, "forbid")
    params.model_validate({})
    assert all(field.description for field in params.model_fields.values())


def test_workloads_describe_themselves(workload: type[Workload]) -> None:
    """A name, one line, and parameters that all have a default and a description."""
    assert workload.name in WORKLOADS
    assert workload.summary
    assert "\n" not in workload.summary
    _check_params(workload.Params)


def test_loaders_describe_themselves(loader: type[Loader]) -> None:
    """As workloads, and whether they read storage at all."""
    assert loader.name in LOADERS
    assert loader.summary
    assert isinstance(loader.reads_storage, bool)
    _check_params(loader.Params)


def test_a_layout_computes_every_object_from_its_index(workload: type[Workload]) -> None:
    """Names are distinct and lie in announced directories; sizes of a range are those of its parts; content repeats."""
    layout = _small(workload).layout()
    paths = [layout.path(obj) for obj in range(layout.count)]
    assert len(set(paths)) == layout.count
    directories = list(layout.directories())
    assert {path.rpartition("/")[0] for path in paths} - {""} <= set(directories)
    seen = {""}
    for directory in directories:
        assert directory.rpartition("/")[0] in seen, "parents come first"
        seen.add(directory)
    sizes = layout.sizes(0, layout.count)
    middle = layout.count // 2
    assert np.array_equal(sizes, np.concatenate([layout.sizes(0, middle), layout.sizes(middle, layout.count)]))
    first = bytes(layout.render(0, int(sizes[0])))
    assert len(first) == sizes[0]
    layout.render(layout.count - 1, int(sizes[-1]))
    assert bytes(_small(workload).layout().render(0, int(sizes[0]))) == first


def test_an_identity_is_plain_and_decides_the_dataset(workload: type[Workload]) -> None:
    """Equal for equal parameters, different for another seed: prepared datasets are re-used by it."""
    identity = _small(workload).layout().identity()
    assert all(isinstance(value, str | int | float | bool) for value in identity.values())
    assert identity == _small(workload).layout().identity()
    other = workload(workload.Params.model_validate({}), SEED + 1).layout().identity()
    assert other != identity


def test_an_epoch_wants_each_sample_once(workload: type[Workload]) -> None:
    """In the same order whenever it is asked for."""
    if workload.access == "stream":
        pytest.skip("streams have no order that could be asked for")
    made = _small(workload)
    for epoch in (0, 1):
        order = made.order(epoch)
        assert order.dtype == np.int64
        assert sorted(order.tolist()) == list(range(made.samples()))
        assert np.array_equal(order, _small(workload).order(epoch))


def test_layouts_travel_to_worker_processes_without_their_objects(workload: type[Workload]) -> None:
    """Pickled size does not grow with the number of objects."""
    many = workload.Params.model_validate(_known(workload, MANY))
    assert len(pickle.dumps(workload(many, SEED).layout())) < 10_000


@pytest.mark.parametrize("parts", [1, 4])
def test_a_stream_yields_each_sample_once_over_all_its_parts(
    workload: type[Workload], parts: int, tmp_path: Path, trace_dir: Path
) -> None:
    """After a journey to another process, in the same order whenever it is asked for; more parts than objects too."""
    if workload.access != "stream":
        pytest.skip("samples are read by number")
    made, store = _small(workload), LocalStore(str(tmp_path / "store"))
    layout = made.layout()
    sizes = KnownSizes([int(size) for size in layout.sizes(0, layout.count)])
    for directory in ("", *layout.directories()):
        store.make_dir(directory)
    for obj in range(layout.count):
        store.write(layout.path(obj), bytes(layout.render(obj, sizes.sizes_bytes[obj])))
    recorder = Recorder(str(trace_dir), rank=0, worker=0, span_budget=1000)
    tap = tap_store(store, recorder)
    stream = pickle.loads(pickle.dumps(made.stream(sizes)))  # noqa: S301 - made in the line itself
    for epoch in (0, 1):
        read = [list(map(bytes, stream.samples(tap, epoch, Part(index=part, count=parts)))) for part in range(parts)]
        assert len({sample for one in read for sample in one}) == sum(map(len, read)) == made.samples()
        again = [list(stream.samples(tap, epoch, Part(index=part, count=parts))) for part in range(parts)]
        assert again == read
    recorder.close()
