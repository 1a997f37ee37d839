"""A small training loop, watched; run it by ``python docs/examples/watched_training.py``."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset

import ioprof

SAMPLES, VALUES = 512, 4096


class Recordings(Dataset[torch.Tensor]):
    """One file per sample."""

    def __init__(self, folder: Path) -> None:
        self.paths = [folder / f"{number:05}.bin" for number in range(SAMPLES)]
        for path in self.paths:
            if not path.exists():
                path.write_bytes(torch.rand(VALUES).numpy().tobytes())

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        return torch.frombuffer(bytearray(self.paths[index].read_bytes()), dtype=torch.float32)


def train(folder: Path, results: Path) -> None:
    """Train for two epochs and say what the loop waited for."""
    model = torch.nn.Linear(VALUES, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    loader = DataLoader(Recordings(folder), batch_size=16, shuffle=True, num_workers=1)
    with ioprof.watch(loader, results=results) as watched:
        for _ in range(2):
            for batch in watched:
                loss = model(batch).square().mean()
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    watched.report()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        train(Path(scratch), Path("results"))
