"""What `ioprof profile` costs a training script: the same script with it and without, by turns.

    python tests/benchmarks/bench_profile.py --pairs 20

The script reads small PNG files with a torch DataLoader of two workers, decodes and resizes each, and does nothing
else: nothing hides what is added. It times its own loop, from the first batch on; beside it stands the time from its
start to its end, in which the libraries are imported. Printed are medians of the pairs' ratios with 95 % bootstrap
intervals. The goal is 2 % for the loop. A second plain run of each pair tells what this host can show.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

IMAGES = 400
PIXELS = 128
_SCRIPT = """
import json, sys, time
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset

class Images(Dataset):
    def __init__(self, folder, epochs):
        self.paths = sorted(Path(folder).glob("*.png")) * epochs
    def __len__(self):
        return len(self.paths)
    def __getitem__(self, index):
        with Image.open(self.paths[index]) as image:
            return torch.from_numpy(np.array(image.convert("RGB").resize((112, 112))))

if __name__ == "__main__":
    loader = DataLoader(Images(sys.argv[1], int(sys.argv[2])), batch_size=16, num_workers=2)
    batches = iter(loader)
    next(batches)
    start = time.perf_counter()
    for _ in batches:
        pass
    print(json.dumps({"loop_s": time.perf_counter() - start}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """One run of the script."""

    loop_s: float
    whole_s: float


def main() -> None:
    """Run by turns, print ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument("--epochs", type=int, default=10, help="passes over the images in one run")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ioprof-bench-profile-") as scratch:
        folder = Path(scratch)
        script = folder / "train.py"
        script.write_text(_SCRIPT)
        _make_images(folder)
        plain = [sys.executable, str(script), scratch, str(options.epochs)]
        profiled = [sys.executable, "-m", "ioprof.cli.main", "profile", "--quiet", "--", *plain]
        runs: dict[str, list[Times]] = {"plain": [], "plain again": [], "profiled": []}
        words = {"plain": plain, "plain again": plain, "profiled": profiled}
        rng = np.random.default_rng(1)
        for _ in range(options.pairs):
            for name in rng.permutation(list(runs)):
                runs[name].append(_timed(words[str(name)], folder))
        for name in ("plain again", "profiled"):
            print(_told(name, runs[name], runs["plain"], rng))


def _make_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for number in range(IMAGES):
        pixels = rng.integers(0, 255, (PIXELS, PIXELS, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")


def _timed(words: list[str], folder: Path) -> Times:
    start_s = time.perf_counter()
    done = subprocess.run(words, cwd=folder, env=dict(os.environ), capture_output=True, text=True, check=True)
    return Times(loop_s=json.loads(done.stdout)["loop_s"], whole_s=time.perf_counter() - start_s)


def _told(name: str, runs: list[Times], plain: list[Times], rng: np.random.Generator) -> str:
    loop = np.array([one.loop_s / other.loop_s for one, other in zip(runs, plain, strict=True)])
    more_s = float(np.median([one.whole_s - other.whole_s for one, other in zip(runs, plain, strict=True)]))
    drawn = np.median(rng.choice(loop, (2000, len(loop))), axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    return (
        f"{name:12s} against plain: the loop takes {np.median(loop) - 1:+.1%} "
        f"(95 % CI {low - 1:+.1%} to {high - 1:+.1%}, n={len(loop)}); the whole {more_s:+.1f} s, reports included"
    )


if __name__ == "__main__":
    main()
