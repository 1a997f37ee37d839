"""At a store's limit: is it bytes or operations that hold it there? The same objects read by a part of the bytes tell.

Reads of one size cannot say: at its limit a store of 20 MB/s and one of 200 operations/s look the same in reads of
100 KB, whatever the number of processes. So one level more reads an eighth as much each time. With T = a + b x bytes
for what a read takes of the store's time at its limit, the two rates give the share of it that goes with the bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ioprof.contract import Indices, Layout, ObjectSizes
from ioprof.probe.climb import Climbed
from ioprof.probe.level import measure_level
from ioprof.probe.pattern import CHEAP_EVICTION_NS, Pattern
from ioprof.store.tap import Tap
from ioprof.trace.kinds import READ_KINDS, Kind
from ioprof.trace.probe_record import CeilingRecord, LevelRecord, ShortReadsRecord

SHORTER = 8
"""How many times fewer bytes a short read asks for."""
_MAIN_SHARE = 0.5
"""What CPUs kept below this would say that operations hold the store, which they did not."""
LEVEL_NS = 1_000_000_000
_MOST_PLACES = 1 << 20
_SIZES_LOOKED_AT = 256
_SEED = 20_261_122


@dataclass(frozen=True, slots=True)
class ShortReader:
    """Reads one short piece of an object for each sample; place ``k`` is piece ``k // count`` of object ``k % count``.

    Pieces of an object lie one whole read apart, so that none is what the kernel has read ahead for another.
    """

    layout: Layout
    sizes: ObjectSizes
    full_bytes: int
    read_bytes: int

    def read(self, tap: Tap, samples: Sequence[int]) -> list[bytes]:
        """Read the pieces; one whose operations failed is left out, and counted by the tap."""
        count = self.layout.count
        objects = [sample % count for sample in samples]
        pieces = []
        for sample, obj, size_bytes in zip(samples, objects, self.sizes.of(objects), strict=True):
            length = min(self.read_bytes, size_bytes)
            offset = sample // count * self.full_bytes % max(1, size_bytes - length + 1)
            try:
                with tap.open_file(self.layout.path(obj), obj) as opened:
                    pieces.append(opened.read_at(offset, length))
            except OSError:
                tap.lose(1)
        return pieces


def short_reads(
    pattern: Pattern,
    climbed: Climbed,
    ceiling: CeilingRecord | None,
    *,
    cores: float,
    tick: Callable[[], None],
) -> ShortReadsRecord | None:
    """Measure a level of short reads where more processes brought no more; None elsewhere, or where CPUs kept them.

    Raises:
        RunError: a process of the level failed.
    """
    levels = climbed.levels
    best = next((one for one in levels if ceiling is not None and one.processes == ceiling.at_processes), None)
    if best is None or climbed.ended != "stayed" or best.is_client_limited:
        return None
    full = _full_reads(best)
    if isinstance(full, str):
        return ShortReadsRecord(reason=full)
    full_bytes, full_per_s = full
    if pattern.eviction_ns > CHEAP_EVICTION_NS:
        return ShortReadsRecord(reason="evicting the dataset once more would take too long")
    # More processes brought no more: with the most of them, what short reads take on their way matters least.
    processes = max(level.processes for level in levels)
    read_bytes = max(1, round(full_bytes / SHORTER))
    reader = ShortReader(pattern.job.layout, pattern.job.sizes, max(1, round(full_bytes)), read_bytes)
    level, _ = measure_level(
        pattern.other(reader, _places(pattern.job.layout, pattern.job.sizes, full_bytes)),
        processes,
        longest_ns=LEVEL_NS,
        cores=cores,
        tick=tick,
    )
    short = None if level is None else _full_reads(level)
    if level is None or short is None or isinstance(short, str):
        return ShortReadsRecord(reason="there was too little to read for a level of short reads")
    share = _bytes_share(full_per_s / short[1], short[0] / full_bytes)
    if share <= _MAIN_SHARE and level.is_client_limited:
        return ShortReadsRecord(reason="short reads were held by this host's CPUs, not by the store")
    return ShortReadsRecord(
        processes=processes,
        full_read_bytes=full_bytes,
        full_reads_per_s=full_per_s,
        read_bytes=short[0],
        reads_per_s=short[1],
        bytes_share=share,
        is_lower_bound=level.is_client_limited,
    )


def _full_reads(level: LevelRecord) -> tuple[float, float] | str:
    """Return the bytes of a level's reads and how many there were per second, or why they cannot be told."""
    moved = {kind.label: level.operations[kind.label] for kind in READ_KINDS if kind.label in level.operations}
    count, size_bytes = sum(one.count for one in moved.values()), sum(one.bytes for one in moved.values())
    if Kind.TOUCH.label in moved:
        return "pages of mapped files come as the kernel likes to fetch them, not read by read"
    if not count or not size_bytes or not level.operations_per_s:
        return "nothing was read"
    all_count = sum(one.count for name, one in level.operations.items() if name != Kind.DECODE.label)
    return size_bytes / count, level.operations_per_s * count / all_count


def _bytes_share(time_ratio: float, bytes_ratio: float) -> float:
    """Return b x bytes / (a + b x bytes) of a full read.

    Args:
        time_ratio: what a short read takes over what a full one does.
        bytes_ratio: its bytes over those of a full one, below 1.0.
    """
    return min(1.0, max(0.0, (1 - time_ratio) / (1 - bytes_ratio))) if bytes_ratio < 1 else 0.0


def _places(layout: Layout, sizes: ObjectSizes, full_bytes: float) -> Indices:
    """Return pieces in random order, each once."""
    looked_at = np.unique(np.linspace(0, layout.count - 1, min(layout.count, _SIZES_LOOKED_AT)).astype(np.int64))
    mean_bytes = float(np.mean(sizes.of(looked_at.tolist())))
    each = max(1, int(mean_bytes / max(1.0, full_bytes)))
    return np.random.default_rng(_SEED).permutation(min(_MOST_PLACES, layout.count * each))
