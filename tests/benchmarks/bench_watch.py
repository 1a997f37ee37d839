"""What `ioprof.watch` costs a user's own DataLoader: PIL decodes JPEGs in 2 workers; watched and bare take turns.

Both loaders live in one process with persistent workers, and blocks of a few batches alternate: this host's speed moves
by more than what is to be measured, and hits neighbours alike. The workers of the one stand still while the other is
timed, and so does the process that records the host during blocks that are not watched. Usage: bench_watch.py [PAIRS]
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

import ioprof
from ioprof.host.process_tree import children_of

PHOTOS, BATCH, BLOCK = 256, 16, 12
GOAL_RATIO = 1.01


class Photos(Dataset[torch.Tensor]):
    """JPEGs in a folder, as users write it."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.jpg"))

    def __len__(self) -> int:
        return 1_000_000

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index % len(self.paths)]) as photo:
            pixels = np.array(photo.convert("RGB").resize((224, 224)))
        return torch.from_numpy(pixels).permute(2, 0, 1)


def write_photos(folder: Path) -> None:
    """Write photos of some detail, about 40 KB each."""
    rng = np.random.default_rng(1)
    for number in range(PHOTOS):
        coarse = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((512, 384)).save(folder / f"{number:04}.jpg", quality=92)


def block_s(batches: Iterator[torch.Tensor]) -> float:
    """Return how long a block of batches takes; the one before it fills the pipeline."""
    next(batches)
    start_s = time.perf_counter()
    for _ in range(BLOCK):
        next(batches)
    return time.perf_counter() - start_s


def cpu_s(pids: list[int]) -> float:
    """Return the CPU time that processes have taken so far, all their threads together."""
    stats = (stat for pid in pids for stat in Path(f"/proc/{pid}/task").glob("*/schedstat"))
    return sum(int(stat.read_text().split()[0]) for stat in stats) / 1e9


def interval(ratios: np.ndarray[tuple[int], np.dtype[np.float64]]) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the median."""
    rng = np.random.default_rng(2)
    medians = np.median(rng.choice(ratios, (4000, len(ratios))), axis=1)
    low, high = np.percentile(medians, (2.5, 97.5))
    return float(low), float(high)


def stop(pids: list[int], is_stopped: bool) -> None:
    """Halt processes, or let them go on."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP if is_stopped else signal.SIGCONT)


def main(pairs: int) -> int:
    """Print the ratio of watched to bare time; 0 where its median keeps to the goal."""
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder))

        def loader() -> DataLoader[torch.Tensor]:
            return DataLoader(Photos(Path(folder)), batch_size=BATCH, num_workers=2, persistent_workers=True)

        bare = iter(loader())
        block_s(bare)
        before = set(children_of(os.getpid()))
        with ioprof.watch(loader(), results=Path(folder) / "results") as watched:
            seen = iter(watched)
            block_s(seen)
            own = {worker.pid for worker in getattr(seen, "_workers", ())}
            samplers = [pid for pid in children_of(os.getpid()) if pid not in before | own]
            bare_workers = [worker.pid for worker in getattr(bare, "_workers", ())]
            watching = [*samplers, *own]

            def timed(name: str) -> float:
                stop(bare_workers if name == "watched" else watching, True)
                try:
                    return block_s(seen if name == "watched" else bare)
                finally:
                    stop([*bare_workers, *watching], False)

            everyone = [os.getpid(), *children_of(os.getpid())]
            ratios, control, cpu_ratios = [], [], []
            for pair in range(pairs):
                times, cpus = {}, {}
                for name in ("bare", "watched") if pair % 2 else ("watched", "bare"):
                    before_s = cpu_s(everyone)
                    times[name] = timed(name)
                    cpus[name] = cpu_s(everyone) - before_s
                control.append(timed("bare") / times["bare"])
                ratios.append(times["watched"] / times["bare"])
                cpu_ratios.append(cpus["watched"] / cpus["bare"])
    told = {"bare against bare": control, "watched against bare": ratios, "the same in CPU time": cpu_ratios}
    for name, found in told.items():
        low, high = interval(np.array(found))
        print(
            f"{name}: median {np.median(found):.4f} (95 % CI {low:.4f} - {high:.4f}), {pairs} pairs of {BLOCK} batches"
        )
    return 0 if np.median(ratios) <= GOAL_RATIO else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 24))
