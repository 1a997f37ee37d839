"""Content: deterministic, never repeating, and as compressible as asked."""

import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioprof.dataset.content import BLOCK_BYTES, PIECE_BYTES, Content
from ioprof.errors import SpecError

sizes = st.one_of(
    st.integers(1, 3 * BLOCK_BYTES),
    st.sampled_from([PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2_500_001]),
)


@settings(deadline=None, max_examples=50)
@given(order=st.lists(st.tuples(st.integers(0, 200), sizes), min_size=1, max_size=8))
def test_content_depends_on_nothing_but_seed_index_and_size(order: list[tuple[int, int]]) -> None:
    """What was rendered before, into which buffer, leaves no trace."""
    busy = Content(5)
    for index, size_bytes in order:
        assert bytes(busy.render(index, size_bytes)) == bytes(Content(5).render(index, size_bytes))


@settings(deadline=None, max_examples=50)
@given(index=st.integers(0, 2**40), size_bytes=sizes)
def test_pieces_add_up_to_the_whole(index: int, size_bytes: int) -> None:
    """Objects written in pieces are those rendered whole, and no piece is larger than promised."""
    content = Content(1)
    pieces = [bytes(piece) for piece in content.pieces(index, size_bytes)]
    assert max(map(len, pieces)) <= PIECE_BYTES
    assert b"".join(pieces) == bytes(content.render(index, size_bytes))


def test_no_two_aligned_runs_of_512_bytes_are_equal() -> None:
    """Deduplication finds nothing down to 512-byte blocks, over small and large objects together."""
    content = Content(9)
    blocks: list[bytes] = []
    for index in range(3000):
        whole = bytes(content.render(index, 4096))
        blocks += [whole[start : start + 512] for start in range(0, 4096, 512)]
    large = bytes(content.render(3000, 12 * PIECE_BYTES))
    blocks += [large[start : start + 512] for start in range(0, len(large), 512)]
    assert len(set(blocks)) == len(blocks)


def test_seeds_and_indices_give_different_content() -> None:
    """Another seed, or another object, shares no block."""
    first = bytes(Content(1).render(0, 8192))
    assert first != bytes(Content(2).render(0, 8192))
    assert first != bytes(Content(1).render(1, 8192))


@pytest.mark.parametrize("size_bytes", [4096, 112 * 1024])
@pytest.mark.parametrize("ratio", [1.0, 1.5, 2.0, 4.0, 10.0])
def test_the_achieved_compression_is_near_the_asked_one(ratio: float, size_bytes: int) -> None:
    """Block by block, as filers do it, zlib gains what the dial says, within 15 %."""
    content = Content(3, ratio)
    plain = packed = 0
    for index in range(40):
        whole = bytes(content.render(index, size_bytes))
        for start in range(0, size_bytes, BLOCK_BYTES):
            plain += BLOCK_BYTES
            packed += len(zlib.compress(whole[start : start + BLOCK_BYTES]))
    assert plain / packed == pytest.approx(ratio, rel=0.15)


def test_every_block_says_whose_it_is() -> None:
    """Index, seed and block number stand at the head of each 4 KiB, so a misplaced block can be named."""
    whole = bytes(Content(3).render(12, 3 * PIECE_BYTES))
    heads = [whole[start : start + 24] for start in range(0, len(whole), BLOCK_BYTES)]
    assert {int.from_bytes(head[:8], "little") for head in heads} == {12}
    assert len({head[8:16] for head in heads}) == 1
    assert [int.from_bytes(head[16:], "little") for head in heads] == list(range(len(heads)))


def test_a_compress_ratio_out_of_range_is_refused() -> None:
    """Below one nothing can be stored, above a hundred no header is left."""
    for ratio in (0.9, 101.0):
        with pytest.raises(SpecError):
            Content(1, ratio)
