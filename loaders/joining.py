"""What is made of a batch's samples before they are handed over: nothing, one tensor, or several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

Samples = Sequence[bytes | memoryview]


def join_of(tensors: int) -> Callable[[Samples], object] | None:
    """Return what joins samples into so many tensors; None: they are handed on as they are, and torch is not needed."""
    if not tensors:
        return None
    from ioprof.loaders.torch_session import joined

    return joined if tensors == 1 else partial(_in_tensors, joined, tensors)


def _in_tensors(join: Callable[[Samples], object], tensors: int, samples: Samples) -> tuple[object, ...]:
    """Return the samples in so many tensors, as equal as they can be; fewer where there are fewer samples."""
    count = min(tensors, len(samples)) or 1
    ends = [len(samples) * place // count for place in range(count + 1)]
    return tuple(join(samples[start:stop]) for start, stop in pairwise(ends))
