"""Names of objects: unique, spread as asked, computed alike by every part that needs them."""

import pickle
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioprof.dataset.layout import Naming, OpaqueLayout
from ioprof.dataset.sizes import Fixed, Uniform
from ioprof.errors import SpecError


def layout(count: int, per_dir: int) -> OpaqueLayout:
    """A layout of small objects."""
    return OpaqueLayout(count=count, sizes=Fixed(64), files_per_dir=per_dir)


shapes = st.integers(1, 40).flatmap(lambda per_dir: st.tuples(st.integers(1, min(3000, per_dir**3)), st.just(per_dir)))


@settings(deadline=None, max_examples=50)
@given(shapes)
def test_paths_are_unique_and_no_directory_holds_more_than_its_share(shape: tuple[int, int]) -> None:
    """Objects and directories alike stay within files_per_dir per directory, the root included."""
    count, per_dir = shape
    made = layout(count, per_dir)
    paths = [made.path(index) for index in range(count)]
    directories = list(made.directories())
    assert len({*paths, *directories}) == count + len(directories)
    entries = Counter(path.rpartition("/")[0] for path in [*paths, *directories])
    assert max(entries.values()) <= per_dir


@settings(deadline=None, max_examples=50)
@given(shapes)
def test_directories_are_exactly_those_that_paths_need_parents_first(shape: tuple[int, int]) -> None:
    """Creating them in order works with plain mkdir, and none stays empty."""
    count, per_dir = shape
    made = layout(count, per_dir)
    seen = {""}
    for directory in made.directories():
        assert directory.rpartition("/")[0] in seen
        seen.add(directory)
    leaves = {made.path(index).rpartition("/")[0] for index in range(count)}
    parents = {leaf.rpartition("/")[0] for leaf in leaves}
    assert seen == leaves | parents | {""}


@settings(deadline=None, max_examples=50)
@given(shapes)
def test_names_are_known_from_the_identity_alone(shape: tuple[int, int]) -> None:
    """Removal has only the marker: what it computes must be what preparation wrote."""
    count, per_dir = shape
    made = layout(count, per_dir)
    naming = Naming.of(made.identity())
    assert naming is not None
    assert [naming.path(index) for index in range(count)] == [made.path(index) for index in range(count)]
    assert list(naming.directories()) == list(made.directories())


def test_many_directories_are_named_without_a_table() -> None:
    """Above the table's limit the same names come from arithmetic."""
    large = layout(10_000_000, 300)
    assert large.path(9_999_999) == "111/33333/9999999" == large.naming.path(9_999_999)


def test_a_fan_out_too_small_for_the_count_names_one_that_is_not() -> None:
    """The message gives the smallest number that works, and that number works."""
    with pytest.raises(SpecError, match=r"use at least 100$"):
        layout(1_000_000, 99)
    layout(1_000_000, 100)


@pytest.mark.parametrize(("count", "per_dir"), [(0, 10), (-1, 10), (10**13, 10**9), (10, 0), (10, -3)])
def test_counts_that_make_no_sense_are_refused(count: int, per_dir: int) -> None:
    """Zero files, negative and absurd numbers."""
    with pytest.raises(SpecError):
        layout(count, per_dir)


@pytest.mark.parametrize("keywords", [{"seed": -1}, {"compress_ratio": 0.5}, {"compress_ratio": float("nan")}])
def test_seed_and_compress_ratio_are_checked(keywords: dict[str, float]) -> None:
    """They are refused when the layout is made, not in a worker."""
    with pytest.raises(SpecError):
        OpaqueLayout(count=1, sizes=Fixed(1), **keywords)  # type: ignore[arg-type]


def test_a_layout_travels_to_a_worker_without_its_tables() -> None:
    """Pickled, ten million objects are a few hundred bytes, and the copy computes the same."""
    made = OpaqueLayout(count=10_000_000, sizes=Uniform(1, 9000), seed=3, compress_ratio=2.0)
    made.render(0, 100)
    packed = pickle.dumps(made)
    copy = pickle.loads(packed)  # noqa: S301
    assert len(packed) < 500
    assert copy.identity() == made.identity()
    assert bytes(copy.render(77, 5000)) == bytes(made.render(77, 5000))


def test_sizes_outside_of_the_dataset_are_refused() -> None:
    """A range past the end is a mistake of the caller, not an empty answer."""
    with pytest.raises(IndexError):
        layout(10, 5).sizes(5, 11)
