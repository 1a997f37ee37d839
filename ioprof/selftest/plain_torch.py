"""The plain program's batches by torch's DataLoader: one worker, one tensor a batch."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import cast

import torch
from torch.utils.data import DataLoader, Dataset

from ioprof.clock import now_ns
from ioprof.selftest.plain import PlainReader, Stamps

Fetched = tuple[list[bytes], Stamps]
Joined = tuple[torch.Tensor, Stamps]


class _Files(Dataset[Fetched]):
    """A dataset whose indices are file names, read a batch at a time."""

    def __init__(self, reader: PlainReader) -> None:
        self._reader = reader

    def __getitems__(self, paths: list[str]) -> Fetched:
        """Return the content of files, and when they were read."""
        return self._reader.read(paths)


def _joined(fetched: Fetched) -> Joined:
    contents, stamps = fetched
    tensor = torch.frombuffer(bytearray().join(contents), dtype=torch.uint8).view(len(contents), -1)
    return tensor, stamps._replace(end_ns=now_ns())


def delivered(batches: Sequence[Sequence[str]], reader: PlainReader) -> Iterator[Stamps]:
    """Yield when each batch was made, as it arrives."""
    loader = DataLoader(
        _Files(reader),
        # torch types a sampler's items as numbers, and collate's input as a list of items; it hands through any.
        batch_sampler=cast("list[list[int]]", [list(batch) for batch in batches]),
        collate_fn=cast("Callable[[list[Fetched]], Joined]", _joined),
        num_workers=1,
        multiprocessing_context="fork",
    )
    for tensor, stamps in loader:
        del tensor
        yield stamps
