"""`s3torchconnector`: Amazon's S3 connector for PyTorch, in the workers of torch's DataLoader."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, ClassVar

from ioprof.loaders.torch_params import TorchLoader, TorchParams
from pydantic import Field

from ioprof.contract import START_METHODS, Access, Capabilities, LoadJob, PluginParams

if TYPE_CHECKING:
    from ioprof.loaders.torch_map_session import TorchMapSession


class S3ConnectorParams(TorchParams):
    """Knobs of torch's DataLoader, and where the store's endpoint is; credentials come from the environment."""

    endpoint: str = Field("", description="URL of the S3 service; default: AWS_ENDPOINT_URL, else Amazon's own")
    region: str = Field("", description="default: AWS_REGION or AWS_DEFAULT_REGION, else us-east-1")
    path_style: bool = Field(
        False,
        description="put the bucket into the path, as other services than Amazon's want it; true with an endpoint",
    )


class S3Connector(TorchLoader):
    """s3torchconnector's S3MapDataset: each worker gets objects by a client of its own, written in Rust."""

    name: ClassVar[str] = "s3torchconnector"
    summary: ClassVar[str] = "Amazon's S3 connector for PyTorch (S3MapDataset), in torch DataLoader workers"
    requires: ClassVar[tuple[str, ...]] = ("s3torchconnector",)
    extra: ClassVar[str | None] = "s3torchconnector"
    accepts: ClassVar[frozenset[Access]] = frozenset({"map"})
    capabilities: ClassVar[Capabilities] = Capabilities(
        reads_with="native",
        workers=("process", "none"),
        start_methods=START_METHODS,
        ordered="by choice",
        formats=frozenset({"files"}),
    )
    Params: ClassVar[type[PluginParams]] = S3ConnectorParams
    session_module: ClassVar[str] = "ioprof.loaders.s3_connector_reader"

    def __init__(self, params: S3ConnectorParams) -> None:
        super().__init__(params)
        env = os.environ.get
        self._endpoint = params.endpoint or env("AWS_ENDPOINT_URL_S3") or env("AWS_ENDPOINT_URL") or ""
        self._region = params.region or env("AWS_REGION") or env("AWS_DEFAULT_REGION") or "us-east-1"
        self._path_style = params.path_style or bool(self._endpoint)

    def open(self, job: LoadJob) -> TorchMapSession:
        """Build the DataLoader; workers start with the first epoch.

        Raises:
            SpecError: the store is none of S3.
        """
        from ioprof.loaders.s3_connector_reader import Service, s3_session

        self._warn_in_place_of_torch()
        service = Service(endpoint=self._endpoint, region=self._region, path_style=self._path_style)
        return s3_session(job, self._params, service)
