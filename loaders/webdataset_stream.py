"""WebDataset's stages over one worker's shards. Its seam for opening is used: shards are opened through the tap.

So every read that tarfile asks for is recorded, on any store. Members, samples and shuffling are WebDataset's own code.
"""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import webdataset
from ioprof.loaders.tap_stream import TapStream
from ioprof.loaders.torch_iterable_session import TorchIterableSession

from ioprof.contract import LoadJob, Part, SampleBytes, StoredSamples
from ioprof.store.tap import Tap

if TYPE_CHECKING:
    from ioprof.loaders.torch_params import TorchParams

_LABEL = "cls"
Member = dict[str, object]
"""What WebDataset's stages hand on: an open shard, a member of one, or a sample's members by their suffix."""


@dataclass(frozen=True, kw_only=True)
class WebdatasetStream:
    """Reads tar shards by WebDataset inside a worker; picklable."""

    stored: StoredSamples
    read_buffer_bytes: int

    def samples(self, tap: Tap, epoch: int, part: Part) -> Iterator[SampleBytes]:
        """Yield one epoch's samples of ``part``: whole shards, in the epoch's order; see `SampleStream`.

        Where there are more parts than shards, those that are left over get nothing.
        """
        stored = self.stored
        shards = list(stored.order(epoch))[part.index :: part.count]
        if not shards:
            return
        opening = _Opening(stored, tap, self.read_buffer_bytes)
        stages: list[object] = [
            webdataset.SimpleShardList([str(shard) for shard in shards]),
            opening.opened,
            _going_on(webdataset.tariterators.tar_file_expander, opening.failed),
            webdataset.tariterators.group_by_keys,
            opening.counted,
        ]
        if stored.shuffle_buffer > 1:
            rng = random.Random(f"{epoch} {part.index} {part.count}")
            stages.append(webdataset.shuffle(stored.shuffle_buffer, initial=stored.shuffle_buffer, rng=rng))
        for sample in webdataset.DataPipeline(*stages):
            content = _content(sample)
            yield content if stored.decode is None else tap.decode(stored.decode, content, int(sample["__url__"]))


def _going_on(stage: Callable[..., Iterator[Member]], failed: Callable[[Exception], bool]) -> object:
    """Return a stage that asks ``failed`` whether to go on after an error."""
    return lambda members: stage(members, handler=failed)


def _content(sample: Member) -> SampleBytes:
    """Return a sample's content: its first member that is not its label."""
    return next(cast("bytes", value) for key, value in sample.items() if key[:2] != "__" and key != _LABEL)


class _Opening:
    """Opens shards through the tap, and counts the samples that a failure costs."""

    def __init__(self, stored: StoredSamples, tap: Tap, read_buffer_bytes: int) -> None:
        self._stored = stored
        self._tap = tap
        self._read_buffer_bytes = read_buffer_bytes
        self._open = ""
        self._left: dict[str, int] = {}
        """Samples that each shard has yet to give."""
        self._failed: list[str] = []
        """Shards that give no more, but for the sample that is put together while they fail."""

    def opened(self, shards: Iterable[Member]) -> Iterator[Member]:
        """Open one shard after the other; one that cannot be opened costs its samples."""
        for shard in shards:
            url = str(shard["url"])
            try:
                file = self._tap.open_file(self._stored.path(int(url)), int(url))
            except OSError:
                self._tap.lose(self._stored.samples_per_object)  # the tap has recorded the operation and its error
                continue
            self._open, self._left[url] = url, self._stored.samples_per_object
            raw = TapStream(file, self._stored.sizes.of([int(url)])[0])
            with io.BufferedReader(raw, self._read_buffer_bytes) as stream:
                yield {"url": url, "stream": stream}

    def failed(self, error: Exception) -> bool:
        """Note that the open shard gives no more, and go on with the next; any other error goes on its way."""
        if not isinstance(error, OSError | tarfile.TarError):
            return False
        self._failed.append(self._open)
        return True

    def counted(self, samples: Iterable[Member]) -> Iterator[Member]:
        """Hand the samples on, note that they have come, and count those that will not."""
        for sample in samples:
            url = str(sample["__url__"])
            self._left[url] -= 1
            if self._failed:
                self._lose(keep=url)
            yield sample
        self._lose(keep="")

    def _lose(self, keep: str) -> None:
        """Count what failed shards did not give; one of them may still."""
        for url in dict.fromkeys(self._failed):
            if url != keep:
                self._tap.lose(self._left.pop(url))
        self._failed = [url for url in self._failed if url == keep]


def webdataset_session(job: LoadJob, params: TorchParams, read_buffer_bytes: int) -> TorchIterableSession:
    """Return an open DataLoader whose workers read by WebDataset.

    Raises:
        TypeError: the job does not say how its samples stand.
    """
    if job.stored is None:
        raise TypeError("webdataset was given a job that does not say how its samples are stored")
    stream = WebdatasetStream(stored=job.stored, read_buffer_bytes=read_buffer_bytes)
    return TorchIterableSession(replace(job, worker=replace(job.worker, source=stream)), params)
