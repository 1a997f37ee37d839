"""Known accelerators: step times and host links, every number with its source.

Step times are those that MLPerf Storage publishes in its benchmark configurations as the time one accelerator
computes on one batch. A number that was derived from another accelerator's is marked as an estimate. Where
nothing is published for a model there is no entry: nothing is guessed. Host links are nominal rates, one way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ioprof.errors import PluginError, nearest


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """How long an accelerator computes on one sample of a model."""

    ns_per_sample: float
    source: str
    is_estimate: bool
    batch_size: int
    """Samples of the batch that it was published for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceleratorSpec:
    """One known accelerator."""

    name: str
    """As written on the command line."""
    title: str
    step_ns_per_sample: Mapping[str, StepTime]
    """By reference model."""
    h2d_bytes_per_s: float
    """Host to device, one way, nominal."""
    h2d_source: str
    note: str = ""
    """What else a reader should know; empty: nothing."""


def _published(step_s: float, batch_size: int, where: str) -> StepTime:
    source = f"{where}: {step_s:g} s per batch of {batch_size:,}"
    return StepTime(ns_per_sample=step_s * 1e9 / batch_size, source=source, is_estimate=False, batch_size=batch_size)


def _storage(step_s: float, batch_size: int) -> StepTime:
    return _published(step_s, batch_size, "MLPerf Storage / DLIO configuration")


def _storage_v3(step_s: float, batch_size: int) -> StepTime:
    return _published(step_s, batch_size, "MLPerf Storage v3 (2026) configuration")


def _derived(
    origin: Mapping[str, StepTime], name: str, speedup: float, why: str, *, is_estimate: bool
) -> Mapping[str, StepTime]:
    """Return another accelerator's step times divided by ``speedup``."""
    return MappingProxyType(
        {
            model: StepTime(
                ns_per_sample=time.ns_per_sample / speedup,
                source=f"{why}; {name}: {time.source}",
                is_estimate=is_estimate or time.is_estimate,
                batch_size=time.batch_size,
            )
            for model, time in origin.items()
        }
    )


_V100 = MappingProxyType(
    {
        "resnet50": _storage(0.195, 64),
        "unet3d": _storage(1.3604, 4),
        "cosmoflow": _storage(0.00936, 1),
        "bert": _storage(0.968, 48),
    }
)
_A100 = MappingProxyType(
    {"resnet50": _storage(0.435, 400), "unet3d": _storage(0.636, 7), "cosmoflow": _storage(0.00551, 1)}
)
_H100 = MappingProxyType(
    {"resnet50": _storage(0.224, 400), "unet3d": _storage(0.323, 7), "cosmoflow": _storage(0.0035, 1)}
)
_B200 = MappingProxyType(
    {
        "unet3d": _storage_v3(0.162, 7),
        "retinanet": _storage_v3(0.04755, 24),
        "flux": _storage_v3(1.35, 48),
        "dlrm": _storage_v3(0.000375, 16_384),
    }
)
_MI355X = MappingProxyType({"retinanet": _storage_v3(0.0634, 32), "flux": _storage_v3(2.025, 72)})

_GEN3 = (16e9, "PCIe Gen3 x16, nominal, one way")
_GEN4 = (32e9, "PCIe Gen4 x16, nominal, one way (64 GB/s both ways together)")
_GEN5 = (64e9, "PCIe Gen5 x16, nominal, one way (128 GB/s both ways together)")
_C2C = (450e9, "NVLink-C2C, nominal, one way (900 GB/s both ways together)")


def _spec(
    name: str, title: str, steps: Mapping[str, StepTime], link: tuple[float, str], note: str = ""
) -> AcceleratorSpec:
    return AcceleratorSpec(
        name=name,
        title=title,
        step_ns_per_sample=steps,
        h2d_bytes_per_s=link[0],
        h2d_source=link[1],
        note=note,
    )


_SPECS = (
    _spec("v100", "NVIDIA V100", _V100, _GEN3),
    _spec("a100", "NVIDIA A100", _A100, _GEN4),
    _spec(
        "a800",
        "NVIDIA A800",
        _derived(_A100, "A100", 1, "an A100 but for its GPU-to-GPU links", is_estimate=False),
        _GEN4,
    ),
    _spec(
        "l40s",
        "NVIDIA L40S",
        _derived(_A100, "A100", 1.7, "A100 / 1.7 (vendor claim: up to 1.7x in training)", is_estimate=True),
        _GEN4,
        "a vendor's upper bound: a real L40S may need more time per step",
    ),
    _spec("h100", "NVIDIA H100", _H100, _GEN5),
    _spec(
        "h800",
        "NVIDIA H800",
        _derived(_H100, "H100", 1, "an H100 but for its GPU-to-GPU links", is_estimate=False),
        _GEN5,
    ),
    _spec(
        "h200",
        "NVIDIA H200",
        _derived(_H100, "H100", 1, "none published; taken as the H100's (same compute)", is_estimate=True),
        _GEN5,
        "more memory bandwidth than an H100: a real H200 may need less time per step",
    ),
    _spec(
        "gh200",
        "NVIDIA GH200 Grace Hopper",
        _derived(_H100, "H100", 1, "none published; taken as the H100's (same compute)", is_estimate=True),
        _C2C,
    ),
    _spec("b200", "NVIDIA B200", _B200, _GEN5),
    _spec("mi355x", "AMD MI355X", _MI355X, _GEN5),
)

ACCELERATORS: Mapping[str, AcceleratorSpec] = MappingProxyType({spec.name: spec for spec in _SPECS})
"""Known accelerators by name, oldest first."""


def find(name: str) -> AcceleratorSpec:
    """Return a known accelerator; capitals do not matter.

    Raises:
        PluginError: there is none of that name.
    """
    spec = ACCELERATORS.get(name.lower())
    if spec is None:
        known = ("none", *ACCELERATORS)
        raise PluginError(f"no accelerator {name!r} (there are {', '.join(known)}){nearest(name.lower(), known)}")
    return spec
