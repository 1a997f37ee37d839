"""A loader of one's own in a function: batches of whole files, read by four threads.

ioprof run small-files --loader iterable --factory my_loader:batches
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ioprof.loaders.iterable import Wanted


def batches(wanted: Wanted) -> Iterator[list[bytes]]:
    """Yield the samples of an epoch, batch by batch, in the order that is wanted."""
    whole = len(wanted.paths) - len(wanted.paths) % wanted.batch_size if wanted.drop_last else len(wanted.paths)
    with ThreadPoolExecutor(max_workers=4) as readers:
        for start in range(0, whole, wanted.batch_size):
            names = wanted.paths[start : min(start + wanted.batch_size, whole)]
            yield list(readers.map(lambda name: Path(name).read_bytes(), names))
