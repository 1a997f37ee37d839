"""How many steps an epoch will have: told by the samples, the batch, and who keeps an incomplete one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioprof.errors import SpecError
from ioprof.plugins import find_loader
from ioprof.runner.epoch_steps import (
    batches_of,
    check_epoch_has_steps,
    check_steps_are_measured,
    parts_of,
    steps_per_epoch,
)
from ioprof.spec.flags import raw_spec
from ioprof.spec.model import RunSpec
from ioprof.spec.resolve import resolve
from tests.stream_plugin import SmallStream, SmallStreamParams


def _spec(loader: str, *, batch_size: int, epochs: int = 1, warmup: int = 0, drop_last: bool = True) -> RunSpec:
    """Return a run of whatever workload: only its loader and its sections matter here."""
    resolved = resolve(raw_spec("small-files", [("epochs", str(epochs)), ("warmup", str(warmup))], [], []))
    section = resolved.loader_section.model_copy(update={"batch_size": batch_size, "drop_last": drop_last})
    return replace(resolved, loader=loader, loader_section=section, loader_params=find_loader(loader).Params())


def _stream(files: int) -> SmallStream:
    return SmallStream(SmallStreamParams(files=files), 1)


@given(samples=st.integers(0, 500), batch_size=st.integers(1, 70), parts=st.integers(1, 9), drop_last=st.booleans())
def test_batches_are_those_of_parts_that_are_dealt_out(
    samples: int, batch_size: int, parts: int, drop_last: bool
) -> None:
    """Compared with dealing out the samples one by one."""
    dealt = [len(range(part, samples, parts)) for part in range(parts)]
    batches = sum(size // batch_size if drop_last else -(-size // batch_size) for size in dealt)
    assert batches_of(samples, batch_size, drop_last=drop_last, parts=parts) == batches


def test_each_worker_of_a_stream_has_an_incomplete_batch_of_its_own() -> None:
    """100 samples by 16 are 6 batches of one part, and 2 x 3 of two; samples reached by number are one part."""
    assert steps_per_epoch(_spec("null", batch_size=16), _stream(100)) == 6
    assert steps_per_epoch(_spec("torch-iterable", batch_size=30), _stream(100)) == 2
    assert steps_per_epoch(_spec("torch-iterable", batch_size=30, drop_last=False), _stream(100)) == 4
    assert parts_of(_spec("torch-iterable", batch_size=30), _stream(100)) == 2
    in_process = replace(
        _spec("torch-iterable", batch_size=30),
        loader_params=find_loader("torch-iterable").Params.model_validate({"workers": 0}),
    )
    assert steps_per_epoch(in_process, _stream(100)) == 3


def test_a_stream_whose_workers_have_no_whole_batch_is_refused() -> None:
    """Though the epoch as a whole has one; the line says how many samples each worker has."""
    with pytest.raises(
        SpecError,
        match=r"^loader\.batch_size = 64: more than the 50 of 100 samples that each of 2 workers reads.* fewer workers",
    ):
        check_epoch_has_steps(_spec("processes", batch_size=64), _stream(100))
    check_epoch_has_steps(_spec("processes", batch_size=64, drop_last=False), _stream(100))
    check_epoch_has_steps(_spec("processes", batch_size=50), _stream(100))


def test_warm_up_is_held_against_the_steps_that_the_workers_of_a_stream_have() -> None:
    """100 samples by 30 are 3 steps in one part, and 2 in two."""
    with pytest.raises(SpecError, match=r"the run would have 4 steps, and the first 4 are warm-up"):
        check_steps_are_measured(_spec("processes", batch_size=30, epochs=2, warmup=4), _stream(100))
    check_steps_are_measured(_spec("processes", batch_size=30, epochs=2, warmup=3), _stream(100))
