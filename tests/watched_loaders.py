"""Datasets and loaders that users write, for the tests of `ioprof.watch`; picklable where a test starts processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, get_worker_info

from ioprof.trace.reader import load_trace
from ioprof.trace.trace import Trace
from ioprof.watcher.watching import Watched


class Numbers(Dataset[torch.Tensor]):
    """Sample i is a small tensor full of i."""

    def __init__(self, count: int = 20, *, fails_at: int = -1, slow_s: float = 0.0) -> None:
        self.count, self.fails_at, self.slow_s = count, fails_at, slow_s

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        if index == self.fails_at:
            raise KeyError(f"sample {index} is broken")
        if self.slow_s:
            time.sleep(self.slow_s)
        return torch.full((3,), index)


class Batched(Numbers):
    """Fetches whole batches, and says so in what it returns."""

    def __getitems__(self, indices: list[int]) -> list[torch.Tensor]:
        assert type(indices) is list
        return [torch.full((3,), -index) for index in indices]


class Stream(IterableDataset[int]):
    """Each worker yields its own numbers; the workers are done at different times."""

    def __init__(self, count: int = 17) -> None:
        self.count = count

    def __iter__(self) -> Iterator[int]:
        info = get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        if info is not None:
            assert info.dataset is self, "a dataset finds itself in its worker"
        return iter(range(worker, self.count, workers + worker))


class Endless(IterableDataset[int]):
    """Never ends."""

    def __iter__(self) -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1


class Nested(Numbers):
    """Every sample goes through a DataLoader of its own."""

    def __getitem__(self, index: int) -> torch.Tensor:
        inner = DataLoader(Numbers(index + 2), batch_size=2)
        return torch.stack([batch.sum() for batch in inner]).sum()


class Dying(Numbers):
    """Ends its worker at one sample."""

    def __getitem__(self, index: int) -> torch.Tensor:
        if index == self.fails_at:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__getitem__(index)


@dataclass
class OwnBatch:
    """A batch class of the user's own."""

    numbers: torch.Tensor
    made_in: int

    def pin_memory(self) -> OwnBatch:
        """Be pinned."""
        return self


def own_collate(samples: list[torch.Tensor]) -> OwnBatch:
    """Collate to the user's own class."""
    return OwnBatch(numbers=torch.stack(samples), made_in=0)


def failing_collate(samples: list[torch.Tensor]) -> torch.Tensor:
    """Refuse one batch."""
    if int(samples[0][0]) == 8:
        raise ValueError("cannot collate these")
    return torch.stack(samples)


def named_init(worker: int) -> None:
    """Change what the worker's dataset yields, as many worker_init_fn do."""
    info = get_worker_info()
    assert info is not None
    assert info.id == worker
    dataset = info.dataset
    assert isinstance(dataset, Numbers)
    dataset.fails_at = -2


def plain(batch: object) -> object:
    """Return a batch as something that compares."""
    if isinstance(batch, torch.Tensor):
        return batch.tolist()
    if isinstance(batch, OwnBatch):
        return ["own", batch.numbers.tolist(), batch.made_in]
    return [plain(part) for part in batch] if isinstance(batch, list | tuple) else batch


def trace_of(watched: Watched[object]) -> Trace:
    """Return what was recorded of a watched loader."""
    assert watched.directory is not None
    return load_trace(watched.directory)
