"""The state that a checkpoint saves."""

from __future__ import annotations

import errno
import io
import zlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ioprof.checkpoint.state import ShardState, State, load, save, shard_extents

KIB = 1 << 10


def content(state: ShardState) -> bytes:
    """Return a shard as torch.save writes it."""
    file = io.BytesIO()
    save(state, file.write)
    return file.getvalue()


def bytes_of(state: object) -> int:
    """Return the bytes of all tensors in a nested state."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    return sum(bytes_of(value) for value in state.values()) if isinstance(state, dict) else 0


@given(size_bytes=st.integers(64 * KIB, 1 << 40), shards=st.integers(1, 64))
def test_shards_cover_the_state_without_gaps(size_bytes: int, shards: int) -> None:
    """Each begins where the one before ended, and they are as large as the state together."""
    extents = shard_extents(size_bytes, shards)
    assert len(extents) == shards
    assert [start for start, _ in extents] == [sum(size for _, size in extents[:n]) for n in range(shards)]
    assert sum(size for _, size in extents) == size_bytes
    assert min(size for _, size in extents) > 0


@settings(max_examples=20)
@given(size_bytes=st.integers(64 * KIB, 2000 * KIB), shards=st.integers(1, 5))
def test_a_state_has_exactly_the_bytes_asked_for(size_bytes: int, shards: int) -> None:
    """Weights and two moments of equal size, and what is left over; a file is hardly larger."""
    state = State(size_bytes, shards, seed=1)
    assert sum(map(bytes_of, state.shards)) == size_bytes
    for shard in state.shards:
        model, optimizer = shard["model"], shard["optimizer"]
        assert bytes_of(optimizer) == 2 * bytes_of(model) > 0
        assert bytes_of(shard) <= len(content(shard)) < bytes_of(shard) + 8 * KIB


def test_no_compressor_makes_a_state_smaller() -> None:
    """Bytes are random; larger than the stretch that is drawn, too."""
    state = State(40 << 20, 1, seed=3)
    file = content(state.shards[0])
    assert len(zlib.compress(file, 1)) > 0.999 * len(file)


def test_the_seed_decides_the_bytes() -> None:
    """Equal for equal seeds, different for others."""
    one, same, other = (State(256 * KIB, 1, seed=seed) for seed in (5, 5, 6))
    assert content(one.shards[0]) == content(same.shards[0]) != content(other.shards[0])


def test_a_snapshot_is_what_the_state_was() -> None:
    """The copy that is written in the background holds the same tensors."""
    state = State(256 * KIB, 2, seed=1)
    state.reserve_snapshot()
    assert state.differs_from(0, state.snapshot_shards[0]) == "/model/layers.0.weight"
    state.snapshot()
    assert [state.differs_from(shard, state.snapshot_shards[shard]) for shard in (0, 1)] == [None, None]


def test_a_restored_state_is_held_against_what_was_saved() -> None:
    """A single changed bit is found, and named by its tensor."""
    state = State(256 * KIB, 1, seed=1)
    restored = load(io.BytesIO(content(state.shards[0])))
    assert state.differs_from(0, restored) is None
    restored["optimizer"]["exp_avg_sq"]["layers.0.weight"].view(torch.uint8)[17] ^= 1  # type: ignore[index, call-overload, union-attr]
    assert state.differs_from(0, restored) == "/optimizer/exp_avg_sq/layers.0.weight"


@pytest.mark.parametrize("at", [0, 1, 5, 12])
def test_a_write_that_fails_is_told_as_it_failed(at: int) -> None:
    """Wherever it strikes, torch's own message about it does not take its place."""
    state, pieces = State(256 * KIB, 1, seed=1), []

    def write(piece: memoryview) -> int:
        if len(pieces) == at:
            raise OSError(errno.ENOSPC, "No space left on device")
        pieces.append(piece.nbytes)
        return piece.nbytes

    with pytest.raises(OSError, match="No space left on device") as caught:
        save(state.shards[0], write)
    assert caught.value.errno == errno.ENOSPC
