"""A mix: what people may write, and that every stretch of an epoch holds it."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ioprof.workloads.operation_mix import OPERATIONS, OperationMix, parse_mix

from ioprof.errors import SpecError

FREE = [name for name in OPERATIONS if name not in ("create", "unlink", "mkdir", "rmdir")]
MIXES = st.dictionaries(st.sampled_from(FREE), st.integers(1, 50), min_size=1).map(
    lambda weights: parse_mix(",".join(f"{name}:{weight}" for name, weight in weights.items()))
)


def test_a_mix_is_read_in_any_order_and_shown_in_the_order_it_is_done() -> None:
    """Names without a weight count one, those with none are left out, blanks do not matter."""
    mix = parse_mix(" unlink:3, stat ,create:3,list:0,")
    assert str(mix) == "create:3,stat:1,unlink:3"
    assert mix.names == ("create", "stat", "unlink")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stat:1,opne:2", "no operation 'opne'; did you mean 'open'?"),
        ("stat:1,stat:2", "'stat' stands there twice"),
        ("stat:-1", "stat:-1: a weight is a whole number from 0 to 1,000,000"),
        ("stat:1.5", "stat:1.5: a weight is a whole number"),
        ("stat:²", "a weight is a whole number"),
        ("stat:0,open:0", "no operation has a weight above 0"),
        ("", "no operation has a weight above 0"),
        ("create:3", "create:3 but unlink:0: what is created must be removed"),
        ("mkdir:2,rmdir:3", "such as mkdir:3,rmdir:3"),
    ],
)
def test_a_mix_that_makes_no_sense_is_one_line(text: str, told: str) -> None:
    """What is wrong and what to write."""
    with pytest.raises(SpecError) as caught:
        parse_mix(text)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


@given(mix=MIXES, operations=st.integers(1, 5000))
def test_shares_are_exact_to_one_operation(mix: OperationMix, operations: int) -> None:
    """They sum to all, and none is a whole operation off."""
    counts, total = mix.counts(operations), sum(weight for _, weight in mix.weights)
    assert sum(counts) == operations
    for count, (_, weight) in zip(counts, mix.weights, strict=True):
        assert abs(count - weight * operations / total) < 1


@given(mix=MIXES, operations=st.integers(1, 3000), seed=st.integers(0, 2**62), epoch=st.integers(0, 9))
def test_any_stretch_of_an_epoch_holds_every_name_in_its_share(
    mix: OperationMix, operations: int, seed: int, epoch: int
) -> None:
    """Each sample once; in the first k, every name is within two of its share."""
    order = mix.order(operations, seed, epoch)
    assert np.array_equal(np.sort(order), np.arange(operations))
    stops = mix.stops(operations)
    names = np.searchsorted(stops, order, side="right")
    seen: Counter[int] = Counter()
    for done, name in enumerate(names.tolist(), 1):
        seen[name] += 1
        if done % 97 == 0:
            for place, count in enumerate(mix.counts(operations)):
                assert abs(seen[place] - done * count / operations) <= 2 + len(mix.weights)


def test_epochs_differ_and_repeat() -> None:
    """The same seed and epoch give the same order; another epoch another."""
    mix = parse_mix("stat:3,open:1")
    assert np.array_equal(mix.order(500, 1, 0), mix.order(500, 1, 0))
    assert not np.array_equal(mix.order(500, 1, 0), mix.order(500, 1, 1))


def test_what_is_left_of_a_mix() -> None:
    """Taking names out keeps the others' weights; taking out all leaves nothing."""
    mix = parse_mix("stat:3,getxattr:1")
    assert str(mix.without(["getxattr"])) == "stat:3"
    assert mix.without(["stat", "getxattr"]) is None
