"""Loaders and workloads that do not go together are refused, and those that do are named."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import ClassVar

import pytest

from ioprof import plugins
from ioprof.contract import Access, Capabilities, PluginParams, StoredWorkload, Workload
from ioprof.dataset.object_sizes import LayoutSizes
from ioprof.errors import SpecError
from ioprof.plugins import LOADERS, find_loader, find_workload
from ioprof.runner.fitting import check_fits, check_throttle_reaches
from ioprof.runner.plan import plan_run
from ioprof.spec.flags import raw_spec
from ioprof.spec.resolve import resolve
from ioprof.store.local import LocalStore
from ioprof.store.open_store import open_store


class ReadsParquet:
    """A loader that reads a format itself, with a client that does not survive a fork."""

    name = "reads-parquet"
    summary = "for tests"
    requires = ()
    extra = None
    reads_storage = True
    accepts: ClassVar[frozenset[Access]] = frozenset({"stream"})
    capabilities: ClassVar[Capabilities] = Capabilities(
        reads_with="native",
        workers=("process",),
        fork_safe=False,
        start_methods=("spawn", "forkserver"),
        formats=frozenset({"parquet", "arrow"}),
    )
    Params = find_loader("processes").Params

    def __init__(self, params: PluginParams) -> None:
        self.params = params


@pytest.fixture
def with_parquet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Install it."""
    known = plugins._points
    point = plugins.EntryPoint("reads-parquet", f"{__name__}:ReadsParquet", LOADERS)
    monkeypatch.setattr(
        plugins, "_points", lambda group: known(group) | ({"reads-parquet": point} if group == LOADERS else {})
    )


def _workload(name: str, **params: object) -> Workload:
    workload = find_workload(name)
    return workload(workload.Params.model_validate(params), 1)


@pytest.mark.usefixtures("with_parquet")
def test_a_loader_of_a_format_is_refused_where_the_samples_stand_in_another() -> None:
    """The loaders that fit are named, this one among them where it does."""
    loader = find_loader("reads-parquet")
    check_fits(_workload("streaming-shards", format="parquet", sample_size="4KiB"), loader)
    with pytest.raises(SpecError, match=r"reads arrow, parquet, .* stored as tar here; use .*torch-iterable") as caught:
        check_fits(_workload("streaming-shards"), loader)
    assert "reads-parquet or" not in str(caught.value)
    with pytest.raises(SpecError, match="small-files is read by sample number, which reads-parquet does not do"):
        check_fits(_workload("small-files"), loader)
    with pytest.raises(SpecError, match="mlperf-cosmoflow does not say in which format") as caught:
        check_fits(_workload("mlperf-cosmoflow"), loader)


@pytest.mark.usefixtures("with_parquet")
def test_a_loader_that_does_not_survive_a_fork_is_not_forked() -> None:
    """Told before anything is prepared, with the start methods that work."""
    words = ["--format", "parquet", "--sample-size", "4KiB", "--start-method"]
    loader = [("loader", "reads-parquet")]
    plan_run(resolve(raw_spec("streaming-shards", loader, [], [*words, "spawn"])))
    with pytest.raises(SpecError, match="does not survive a fork; use --start-method spawn or forkserver"):
        plan_run(resolve(raw_spec("streaming-shards", loader, [], [*words, "fork"])))


def test_what_loaders_of_a_format_are_told_is_what_the_workload_stores(tmp_path: Path) -> None:
    """Names, sizes and order are those of the layout and of the stream's own reader; it travels to workers."""
    store = LocalStore(str(tmp_path))
    for name, access, objects in (("streaming-shards", "stream", 16), ("small-files", "map", 20_000)):
        workload = _workload(name)
        layout = workload.layout()
        assert isinstance(workload, StoredWorkload)
        stored = pickle.loads(pickle.dumps(workload.stored_samples(LayoutSizes(layout))))  # noqa: S301 - made here
        assert workload.access == access
        assert stored.format == workload.stored_format
        assert len(stored.objects) == objects
        assert len(stored.objects) * stored.samples_per_object == workload.samples()
        assert stored.full_path(store, 3) == f"{tmp_path}/{layout.path(3)}"
        assert stored.sizes.of([3]) == layout.sizes(3, 4).tolist()
        assert sorted(stored.order(1)) == list(range(objects))
        assert list(stored.order(1)) != list(stored.order(2))


@pytest.mark.usefixtures("with_parquet")
def test_a_loader_that_reads_past_the_throttle_is_refused_on_a_throttled_store(tmp_path: Path) -> None:
    """Those that read through the taps are named; without the throttle it may read."""
    workload = _workload("streaming-shards", format="parquet", sample_size="4KiB")
    throttled = open_store(f"throttle+{tmp_path}?latency=1ms")
    for name in ("reads-parquet", "parquet"):
        with pytest.raises(
            SpecError, match=r"reads by itself \(native\), past the throttle .*torch-iterable"
        ) as caught:
            check_throttle_reaches(workload, find_loader(name), throttled)
        assert "parquet or" not in str(caught.value)
        check_throttle_reaches(workload, find_loader(name), LocalStore(str(tmp_path)))
    check_throttle_reaches(workload, find_loader("torch-iterable"), throttled)
