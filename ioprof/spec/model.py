"""What a run is, section by section. Workload and loader parameters are the plug-ins' own models."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ioprof.accelerator.step_times import parse_step_times
from ioprof.contract import PluginParams
from ioprof.spec.quantities import Bytes, Count, DurationNs
from ioprof.units import parse_count

DEFAULT_WARMUP = 5
CacheState = Literal["cold", "warm", "asis"]
CacheQuestions = Literal["auto", "every", "off"]
CheckpointMode = Literal["sync", "background"]


class Section(BaseModel):
    """Base of the spec's sections: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class StoreSection(Section):
    """Where the dataset lives."""

    url: str = Field(
        "./ioprof-data",
        description="path or fsspec URL of the store (throttle+ before it slows it); gets a folder for the dataset",
    )


class LoaderSection(Section):
    """What every loader understands; the rest is the loader's own."""

    batch_size: Count = Field(64, ge=1, le=10_000_000, description="samples per batch")
    drop_last: bool = Field(True, description="leave out the last, incomplete batch of an epoch")


class AcceleratorSection(Section):
    """What consumes the batches."""

    name: str = Field("h100", description="an accelerator of `ioprof list`, or none")
    compute: DurationNs | None = Field(
        None, ge=0, le=3600 * 10**9, description="busy time per batch; default: from the workload's reference model"
    )
    compute_spread: str | None = Field(
        None, description="busy times drawn for each batch instead, such as normal:20ms:2ms or uniform:10ms:30ms"
    )
    copy_to_device: bool = Field(True, description="model the copy of each batch over the host link")

    @field_validator("compute_spread")
    @classmethod
    def _spread_makes_sense(cls, text: str | None) -> str | None:
        if text is not None:
            parse_step_times(text)
        return text


class CheckpointSection(Section):
    """What is saved while the accelerator runs; as flags the keys are ``--checkpoint-every`` and so on."""

    every: Count = Field(0, ge=0, le=10**9, description="steps from one save to the next; 0 saves nothing")
    size: Bytes = Field(
        512 << 20,
        ge=64 << 10,
        le=16 << 40,
        description="bytes of one save, all shards together: weights and two optimizer moments",
    )
    shards: Count = Field(
        1, ge=1, le=64, description="files of one save, written at the same time, as if so many ranks saved"
    )
    mode: CheckpointMode = Field(
        "sync",
        description="sync: the step loop waits for the save; background: it waits for a copy in memory, a thread saves",
    )
    fsync: bool = Field(True, description="a save is done when files, names and directory are durable")
    keep: Count = Field(2, ge=1, le=1000, description="finished saves that stay; older ones are removed")
    restore: bool = Field(False, description="read the last save back at the end, evicted from the page cache before")
    keep_files: bool = Field(False, description="leave the files on the store when the run ends")


class RunSection(Section):
    """How long, in which state, and where the results go."""

    epochs: Count | None = Field(
        None, ge=1, le=1_000_000, description="passes over the dataset; default: as many as fit the duration"
    )
    duration: DurationNs | None = Field(
        None, gt=0, le=30 * 86400 * 10**9, description="stop dispatching after this time; default: 30s without epochs"
    )
    steps: Count | None = Field(None, ge=1, le=10**12, description="stop after so many steps, warm-up included")
    warmup: Annotated[Count, Field(ge=0, le=1_000_000)] | Literal["auto"] = Field(
        DEFAULT_WARMUP,
        description="first steps left out of the figures; auto: as many as prove to be start-up, and at least 5",
    )
    cache: CacheState = Field(
        "cold",
        description="cold: evicted from the page cache before each epoch; warm: read once first; asis: left",
    )
    drop_caches: bool = Field(
        False,
        description="with --cache cold, drop this host's names and inodes too before each epoch; root only, whole host",
    )
    cache_evidence: CacheQuestions = Field(
        "auto",
        description="ask what the page cache holds before reads: auto: in 0.25 % of the time at most; every; off",
    )
    seed: int = Field(20_261_123, ge=0, lt=2**63, description="decides content, sizes and order")
    max_errors: Count = Field(100, ge=0, le=10**12, description="failed samples the run may lose before it gives up")
    span_budget: Count = Field(
        1_000_000,
        ge=1000,
        le=100_000_000,
        description="records each process keeps; beyond, 1 in N batches is traced in full",
    )
    probe: bool = Field(
        True, description="after the steps, measure the store's ceiling and the loader's baselines: about ten seconds"
    )
    overhead_budget: float = Field(
        0.01,
        ge=0.0,
        le=1.0,
        description="share of the workers' time that tracing may take; beyond, fewer batches are looked at closely",
    )
    results: str = Field("./results", description="folder that gets the run directory")
    label: str | None = Field(None, pattern=r"^[A-Za-z0-9._-]{1,64}$", description="added to the run directory's name")

    @field_validator("warmup", mode="before")
    @classmethod
    def _count_or_auto(cls, text: str | int | float) -> str | int:
        try:
            return text if text == "auto" else parse_count(text)
        except ValueError as error:
            raise ValueError(f"{error}, or auto") from error

    @property
    def warmup_steps(self) -> int:
        """Steps that are left out of the figures in any case."""
        return DEFAULT_WARMUP if self.warmup == "auto" else self.warmup


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSpec:
    """A run, fully resolved: every value validated, every default filled in."""

    workload: str
    workload_params: PluginParams
    store: StoreSection
    loader: str
    loader_section: LoaderSection
    loader_params: PluginParams
    accelerator: AcceleratorSection
    checkpoint: CheckpointSection
    run: RunSection
    compute_origin: str = field(default="--compute", compare=False)
    """Where the busy time came from, if one was given."""
    caveats: tuple[str, ...] = ()
    """What of another program's configuration became nothing here."""
    departures: tuple[str, ...] = ()
    """What of it would have changed the load."""
    size_flags: str = field(default="", compare=False)
    """The flags that decide how large the dataset is, for refusals; empty where the workload has none."""
    duration_is_default: bool = False
    """Neither epochs nor a duration was given, so a number of epochs on top would replace the duration."""

    @property
    def smaller_dataset(self) -> str:
        """What a refusal for lack of room advises: a phrase that names the flags."""
        return f"a smaller dataset ({self.size_flags})" if self.size_flags else "a smaller dataset"

    def sections(self, *, as_text: bool) -> dict[str, dict[str, str | int | float | bool | None]]:
        """Return the spec as nested dictionaries, in the order of a spec file.

        Args:
            as_text: sizes and durations as people write them (``4KiB``); else as plain bytes and nanoseconds.
        """
        mode: Literal["json", "python"] = "json" if as_text else "python"
        return {
            "workload": {"name": self.workload, **self.workload_params.model_dump(mode=mode)},
            "store": self.store.model_dump(mode=mode),
            "loader": {
                "name": self.loader,
                **self.loader_section.model_dump(mode=mode),
                **self.loader_params.model_dump(mode=mode),
            },
            "accelerator": self.accelerator.model_dump(mode=mode),
            "checkpoint": self.checkpoint.model_dump(mode=mode),
            "run": self.run.model_dump(mode=mode),
        }
