"""Reads whole objects by s3torchconnector's S3MapDataset; each get is one recorded operation, as its caller sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING, cast

from ioprof.loaders.torch_map_session import TorchMapSession
from s3torchconnector import S3ClientConfig, S3Exception, S3MapDataset, S3Reader

from ioprof.contract import LoadJob, SampleBytes, StoredSamples
from ioprof.errors import SpecError
from ioprof.store.base import Store
from ioprof.store.tap import Tap

if TYPE_CHECKING:
    from ioprof.loaders.torch_params import TorchParams

_SCHEMES = ("s3://", "s3a://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Which S3 service."""

    endpoint: str
    """Empty: Amazon's."""
    region: str
    path_style: bool


@dataclass(frozen=True, kw_only=True)
class S3ConnectorReader:
    """Reads samples inside a worker; picklable, its dataset and client are made where they are used."""

    stored: StoredSamples
    store: Store
    service: Service

    def __getstate__(self) -> dict[str, object]:
        return {"stored": self.stored, "store": self.store, "service": self.service}

    def read(self, tap: Tap, samples: Sequence[int]) -> Sequence[SampleBytes]:
        """Get one object per sample; those that failed are left out."""
        contents = list[SampleBytes]()
        sizes_bytes = self.stored.sizes.of(samples)
        for sample, size_bytes in zip(samples, sizes_bytes, strict=True):
            content = tap.get(partial(self._object, sample), size_bytes, sample)
            if content is not None:
                decode = self.stored.decode
                contents.append(content if decode is None else tap.decode(decode, cast("SampleBytes", content), sample))
        return contents

    def _object(self, sample: int) -> bytes:
        try:
            return cast("bytes", self._dataset[sample])
        except S3Exception as error:
            raise OSError(f"{self.stored.path(sample)}: {' '.join(str(error).split())}") from error

    @cached_property
    def _dataset(self) -> S3MapDataset:
        stored, service = self.stored, self.service
        root = self.store.url.replace("s3a://", "s3://", 1).rstrip("/")
        return S3MapDataset.from_objects(
            [f"{root}/{stored.path(obj)}" for obj in stored.objects],
            region=service.region,
            endpoint=service.endpoint or None,
            transform=_content,
            s3client_config=S3ClientConfig(force_path_style=service.path_style),
        )


def _content(opened: S3Reader) -> bytes:
    """Return all of an object."""
    return cast("bytes", opened.read())


def s3_session(job: LoadJob, params: TorchParams, service: Service) -> TorchMapSession:
    """Return an open DataLoader whose workers get objects by s3torchconnector.

    Raises:
        SpecError: the store is none of S3.
        TypeError: the job does not say how its samples stand.
    """
    store = job.worker.store
    if not store.url.startswith(_SCHEMES):
        raise SpecError(
            f"loader.name = 's3torchconnector': it reads s3:// only, not {store.url}; "
            "use --store s3://BUCKET/PREFIX, or --loader torch-map"
        )
    if job.stored is None:
        raise TypeError("s3torchconnector was given a job that does not say how its samples are stored")
    reader = S3ConnectorReader(stored=job.stored, store=store, service=service)
    return TorchMapSession(replace(job, worker=replace(job.worker, source=reader)), params)
