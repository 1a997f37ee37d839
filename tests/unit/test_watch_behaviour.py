"""What a program sees of its own loader is the same whether it is watched or not."""

from __future__ import annotations

import gc
import multiprocessing
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

import ioprof
from tests.watched_loaders import (
    Batched,
    Endless,
    Nested,
    Numbers,
    Stream,
    failing_collate,
    named_init,
    own_collate,
    plain,
    trace_of,
)

Make = Callable[[], Iterable[object]]


def _generator() -> torch.Generator:
    return torch.Generator().manual_seed(7)


LOADERS: dict[str, Make] = {
    "in the consumer": lambda: DataLoader(Numbers(), batch_size=4),
    "workers": lambda: DataLoader(Numbers(), batch_size=4, num_workers=2),
    "persistent": lambda: DataLoader(Numbers(), batch_size=3, num_workers=2, persistent_workers=True),
    "shuffled": lambda: DataLoader(Numbers(), batch_size=4, num_workers=2, shuffle=True, generator=_generator()),
    "batches at once": lambda: DataLoader(Batched(), batch_size=4, num_workers=1),
    "no batches": lambda: DataLoader(Numbers(), batch_size=None, num_workers=1),
    "stream": lambda: DataLoader(Stream(), batch_size=3, num_workers=2),
    "persistent stream": lambda: DataLoader(Stream(), batch_size=2, num_workers=2, persistent_workers=True),
    "stream in the consumer": lambda: DataLoader(Stream(), batch_size=3, drop_last=True),
    "own class": lambda: DataLoader(Numbers(), batch_size=4, num_workers=1, collate_fn=own_collate),
    "worker_init_fn": lambda: DataLoader(Numbers(fails_at=3), num_workers=1, worker_init_fn=named_init),
    "nested": lambda: DataLoader(Nested(6), batch_size=2, num_workers=1),
    "nothing": lambda: DataLoader(Numbers(0), batch_size=4),
    "nothing of workers": lambda: DataLoader(Stream(0), batch_size=4, num_workers=2),
    "a list": lambda: [[1, 2], [3], []],
    "a range": lambda: range(3),
}


def _epochs(loader: Iterable[object]) -> list[object]:
    return [[plain(batch) for batch in loader] for _ in range(2)]


@pytest.mark.parametrize("name", LOADERS)
def test_batches_and_their_order_are_the_same(name: str, tmp_path: Path) -> None:
    """Two epochs deliver the same, watched or not; and again when the watching has ended."""
    torch.manual_seed(3)
    expected = _epochs(LOADERS[name]())
    loader = LOADERS[name]()
    torch.manual_seed(3)
    with ioprof.watch(loader, results=tmp_path) as watched:
        assert _epochs(watched) == expected
    trace = trace_of(watched)
    assert trace.steps.num_rows == sum(len(epoch) for epoch in expected if isinstance(epoch, list))
    if name not in ("shuffled",):
        assert _epochs(loader) == expected
    assert trace.run.outcome == "complete"
    assert not trace.run.caveats


def _error_of(loader: Iterable[object]) -> tuple[list[object], list[str]]:
    """Return what came before the error, and how it reads, line numbers and all."""
    seen: list[object] = []
    try:
        for batch in loader:
            seen.append(plain(batch))
    except (KeyError, ValueError, AttributeError) as error:
        lines = traceback.format_exception(error)
        traceback.clear_frames(error.__traceback__)  # torch's are in a circle with the error: the workers would stay
        return seen, lines
    raise AssertionError("no error came")


def _watched_error_of(loader: Iterable[object], results: Path) -> tuple[list[object], list[str]]:
    with ioprof.watch(loader, results=results) as watched:
        return _error_of(watched)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("stream", [False, True])
def test_an_exception_of_the_dataset_reads_the_same_to_the_letter(workers: int, stream: bool, tmp_path: Path) -> None:
    """Type, message and traceback are the user's: no line of ours stands in it."""
    loader = DataLoader(_Broken() if stream else Numbers(fails_at=9), batch_size=4, num_workers=workers)
    expected = _error_of(loader)
    assert _watched_error_of(loader, tmp_path) == expected
    assert expected[1][-1].rstrip().endswith("is broken'")


class _Broken(Stream):
    def __iter__(self) -> Iterator[int]:
        yield from range(8)
        raise KeyError("stream is broken")


def test_an_exception_of_an_iterable_reads_the_same_to_the_letter(tmp_path: Path) -> None:
    """A generator of batches may raise as well."""

    def batches() -> Iterator[int]:
        yield 1
        raise KeyError("generator is broken")

    expected = _error_of(batches())
    assert _watched_error_of(batches(), tmp_path) == expected


@pytest.mark.parametrize("workers", [0, 1])
def test_an_exception_of_the_collate_function_arrives(workers: int, tmp_path: Path) -> None:
    """After the same batches, with the same words; the user's own lines are in its traceback."""
    loader = DataLoader(Numbers(), batch_size=4, num_workers=workers, collate_fn=failing_collate)
    seen, lines = _error_of(loader)
    again, watched_lines = _watched_error_of(loader, tmp_path)
    assert again == seen
    assert watched_lines[-1] == lines[-1] or "cannot collate these" in watched_lines[-1]
    assert "in failing_collate" in "".join(watched_lines)


def test_what_ends_the_block_goes_on_and_is_told(tmp_path: Path) -> None:
    """An error of the training itself is the user's; the run says that it failed, and of what."""
    with pytest.raises(ZeroDivisionError), ioprof.watch([1, 2, 3], results=tmp_path) as watched:
        for batch in watched:
            assert batch / (batch - 2)
    run = trace_of(watched).run
    assert (run.outcome, run.reason) == ("failed", "ZeroDivisionError: division by zero")


def test_attributes_are_the_loaders_own(tmp_path: Path) -> None:
    """Length, attributes, methods and assignments reach the loader; what it has not, is missing."""
    loader = DataLoader(Numbers(), batch_size=4)
    watched = ioprof.watch(loader, results=tmp_path)
    assert len(watched) == 5
    assert watched
    assert watched.dataset is loader.dataset
    assert watched.sampler is loader.sampler
    watched.timeout = 3
    assert loader.timeout == 3
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = watched.no_such_thing
    assert ioprof.watch([7, 8, 9], results=tmp_path)[1] == 8
    with pytest.raises(TypeError, match="no len"):
        len(ioprof.watch(iter([1]), results=tmp_path))
    assert not list(tmp_path.iterdir()), "nothing was iterated over, so nothing is recorded"


def test_the_loader_is_as_it_was(tmp_path: Path) -> None:
    """No attribute of the loader is left changed, in the middle of an epoch or afterwards."""
    loader = DataLoader(Numbers(), batch_size=4, num_workers=1, worker_init_fn=named_init)
    before = dict(vars(loader))
    with ioprof.watch(loader, results=tmp_path) as watched:
        for _ in watched:
            now = dict(vars(loader))
            now.pop("_get_iterator")
            assert now == before
    assert dict(vars(loader)) == before


def test_leaving_an_epoch_ends_its_workers_at_once(tmp_path: Path) -> None:
    """A loop that is left half-way lets go of the workers when the program does, without a collector of circles."""
    gc.collect()
    gc.disable()
    try:
        with ioprof.watch(DataLoader(Endless(), batch_size=2, num_workers=2), results=tmp_path) as watched:
            for _, batch in zip(range(4), watched, strict=False):
                last = plain(batch)
            assert last == [2, 3]
            assert not multiprocessing.active_children()
            assert plain(next(iter(watched))) == [0, 1]
        assert not multiprocessing.active_children()
    finally:
        gc.enable()
    assert trace_of(watched).run.outcome == "complete"


def test_persistent_workers_end_with_their_loader(tmp_path: Path) -> None:
    """They are gone as soon as the program lets go of the loader, while it is watched as well as afterwards."""
    gc.collect()
    gc.disable()
    try:
        loader = DataLoader(Numbers(8), batch_size=2, num_workers=1, persistent_workers=True)
        with ioprof.watch(loader, results=tmp_path) as watched:
            assert len(list(watched)) == len(list(watched)) == 4
            assert len(multiprocessing.active_children()) == 1
        del watched, loader
        assert not multiprocessing.active_children()
    finally:
        gc.enable()


def test_an_iterator_is_watched_as_an_iterator(tmp_path: Path) -> None:
    """What is asked for its next batch by name gives it."""
    with ioprof.watch(iter([5, 6]), results=tmp_path) as watched:
        assert [next(watched), next(watched)] == [5, 6]
        with pytest.raises(StopIteration):
            next(watched)
    with pytest.raises(TypeError, match="'list' object is not an iterator"):
        next(ioprof.watch([1], results=tmp_path))


def test_two_iterators_of_one_loader_do_not_mix(tmp_path: Path) -> None:
    """Each delivers its own epoch, and no batch number comes twice."""
    loader = DataLoader(Numbers(12), batch_size=4, num_workers=1)
    with ioprof.watch(loader, results=tmp_path) as watched:
        for one, other in zip(watched, watched, strict=True):
            assert plain(one) == plain(other)
    steps = trace_of(watched).steps
    assert len(set(steps["batch"].to_pylist())) == steps.num_rows == 6


def test_what_cannot_be_pickled_fails_as_ever(tmp_path: Path) -> None:
    """A dataset that only exists here cannot be sent to a spawned worker: the same error, watched or not."""

    class Local(Numbers):
        pass

    loader = DataLoader(Local(), num_workers=1, multiprocessing_context="spawn")
    with pytest.warns(UserWarning, match="pickle error"):
        seen, lines = _error_of(loader)
    with pytest.warns(UserWarning, match="pickle error"):
        again, watched_lines = _watched_error_of(loader, tmp_path)
    assert (again, watched_lines[-1]) == (seen, lines[-1])


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_stateful_loader_is_saved_and_goes_on_from_there(workers: int, tmp_path: Path) -> None:
    """The state is the loader's own, asked of it or of what watches it, and leads to the same batches."""
    stateful = pytest.importorskip("torchdata.stateful_dataloader", reason="torchdata is not installed")

    def loader() -> DataLoader[torch.Tensor]:
        made: DataLoader[torch.Tensor] = stateful.StatefulDataLoader(Numbers(24), batch_size=4, num_workers=workers)
        return made

    original = loader()
    with ioprof.watch(original, results=tmp_path) as watched:
        batches = iter(watched)
        assert [plain(next(batches))[0][0] for _ in range(2)] == [0, 4]
        state = original.state_dict()
        del batches
    restored = loader()
    with ioprof.watch(restored, results=tmp_path) as watched:
        watched.load_state_dict(state)
        assert [plain(batch)[0][0] for batch in watched] == [8, 12, 16, 20]
