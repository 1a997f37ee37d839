"""Files kept open: the least recently used closes first."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from ioprof.store.open_files import OpenFiles
from ioprof.store.whole_read import pages_of_range

PAGE = 4096


@dataclass
class _File:
    obj: int
    closed: list[int]

    def close(self) -> None:
        self.closed.append(self.obj)


@dataclass
class _Opener:
    opened: list[int] = field(default_factory=list)
    closed: list[int] = field(default_factory=list)

    def __call__(self, obj: int) -> _File:
        self.opened.append(obj)
        return _File(obj, self.closed)


def test_the_file_that_was_not_used_for_longest_is_closed() -> None:
    """Using a file again keeps it; closing all closes each once, whatever was closed before."""
    opener = _Opener()
    files = OpenFiles(2, opener)  # type: ignore[arg-type]
    for obj in (1, 2, 1, 3, 1, 2):
        files.file(obj)
    assert (opener.opened, opener.closed) == ([1, 2, 3, 2], [2, 3])
    files.close()
    files.close()
    assert sorted(opener.closed) == [1, 2, 2, 3]


@given(asked=st.lists(st.integers(0, 9), max_size=60), most=st.integers(1, 5))
def test_no_more_than_so_many_are_open(asked: list[int], most: int) -> None:
    """At any moment, and each file that is asked for is open."""
    opener = _Opener()
    files = OpenFiles(most, opener)  # type: ignore[arg-type]
    for obj in asked:
        assert files.file(obj).obj == obj  # type: ignore[attr-defined]
        assert len(opener.opened) - len(opener.closed) <= most


@given(cuts=st.lists(st.integers(0, 100_000), max_size=30), pages=st.integers(1, 25))
def test_ranges_that_tile_a_file_have_each_page_once(cuts: list[int], pages: int) -> None:
    """However it is cut, the pages of the parts are those of the whole."""
    size = pages * PAGE
    borders = [0, *sorted(cut % size for cut in cuts), size]
    parts = itertools.pairwise(borders)
    assert sum(pages_of_range(start, stop - start) for start, stop in parts) == size


@given(length=st.integers(1, 300), windows=st.integers(1, 50), overlap=st.sampled_from([2, 4]))
def test_windows_that_share_a_token_share_no_page(length: int, windows: int, overlap: int) -> None:
    """Of windows that overlap by a token, together they count the pages of the whole; lengths are multiples of 64 B."""
    stride = 64 * length
    counted = sum(pages_of_range(number * stride, stride + overlap) for number in range(windows))
    assert counted == pages_of_range(0, windows * stride + overlap)
