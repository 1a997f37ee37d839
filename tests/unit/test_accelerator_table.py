"""Known accelerators: every number has a source, and what is derived says so."""

from __future__ import annotations

import pytest

from ioprof.accelerator.resolve import resolve
from ioprof.accelerator.table import ACCELERATORS, find
from ioprof.errors import PluginError, SpecError


def test_the_published_step_times_come_out_again() -> None:
    """Busy time is time per sample x batch: the published batch gives the published step."""
    published = {
        ("a100", "resnet50", 400): 435_000_000, ("h100", "resnet50", 400): 224_000_000,
        ("v100", "resnet50", 64): 195_000_000, ("h100", "unet3d", 7): 323_000_000,
        ("a100", "cosmoflow", 1): 5_510_000, ("b200", "dlrm", 16_384): 375_000,
        ("mi355x", "flux", 72): 2_025_000_000,
    }  # fmt: skip
    for (name, model, batch), busy_ns in published.items():
        record = resolve(name, None, model, batch).record
        assert (record.busy_ns_per_batch, record.is_estimate) == (busy_ns, False)


def test_half_a_batch_is_half_the_time() -> None:
    """Busy time scales with the batch."""
    assert resolve("h100", None, "resnet50", 200).record.busy_ns_per_batch == 112_000_000


@pytest.mark.parametrize(("name", "origin", "speedup"), [("l40s", "a100", 1.7), ("h200", "h100", 1)])
def test_derived_step_times_are_marked_as_estimates(name: str, origin: str, speedup: float) -> None:
    """What no one published is derived, says from what, and is marked wherever it goes."""
    derived, base = find(name).step_ns_per_sample, find(origin).step_ns_per_sample
    for model, step in derived.items():
        assert step.is_estimate
        assert origin.upper() in step.source
        assert step.ns_per_sample == pytest.approx(base[model].ns_per_sample / speedup)
    assert resolve(name, None, "resnet50", 64).record.is_estimate


@pytest.mark.parametrize(("name", "origin"), [("a800", "a100"), ("h800", "h100")])
def test_export_variants_step_as_their_originals(name: str, origin: str) -> None:
    """They differ in GPU-to-GPU links only, which one device does not use."""
    variant, base = find(name).step_ns_per_sample, find(origin).step_ns_per_sample
    assert {model: step.ns_per_sample for model, step in variant.items()} == {
        model: step.ns_per_sample for model, step in base.items()
    }


def test_every_number_has_a_source() -> None:
    """No step time and no link rate without where it comes from."""
    for spec in ACCELERATORS.values():
        assert spec.h2d_source and spec.h2d_bytes_per_s > 0
        assert all(step.source and step.ns_per_sample > 0 for step in spec.step_ns_per_sample.values())
        assert spec.name == spec.name.lower()


def test_the_promised_accelerators_are_there() -> None:
    """The names that documentation and users rely on."""
    assert {"l40s", "a100", "a800", "h100", "h800", "h200", "v100", "b200", "mi355x"} <= ACCELERATORS.keys()
    assert find("H100").name == "h100"


def test_a_misspelt_accelerator_gets_the_nearest_name() -> None:
    """One line says what is wrong and what was probably meant."""
    with pytest.raises(PluginError, match=r"no accelerator 'h10'.*did you mean 'h100'\?"):
        find("h10")


def test_a_given_compute_time_overrides_the_table() -> None:
    """--compute is what the user knows, so it is no estimate, even on a derived accelerator."""
    resolved = resolve("l40s", 20_000_000, None, 64, count=4)
    assert resolved.record.busy_ns_per_batch == 20_000_000
    assert resolved.record.source == "given by --compute"
    assert not resolved.record.is_estimate
    assert resolved.record.count == 4
    assert resolved.accelerator.busy_ns_per_batch == 20_000_000


def test_none_has_no_busy_time() -> None:
    """Without an accelerator there is nothing to utilise."""
    resolved = resolve("none", None, "resnet50", 64)
    assert resolved.record.busy_ns_per_batch is None
    assert resolved.accelerator.busy_ns_per_batch is None


@pytest.mark.parametrize(
    ("name", "compute_ns", "model", "message"),
    [
        ("b200", None, "resnet50", r"resnet50.*b200 has unet3d, retinanet, flux, dlrm.*--compute 20ms"),
        ("h100", None, "gpt17", r"no accelerator has them for gpt17"),
        ("h100", None, None, r"no reference model.*--compute"),
        ("none", 20_000_000, None, r"--compute needs an accelerator"),
        ("h100", -1, "resnet50", r"must be 0 or more"),
    ],
)
def test_a_missing_step_time_is_never_guessed(
    name: str, compute_ns: int | None, model: str | None, message: str
) -> None:
    """The error names what exists and how to go on."""
    with pytest.raises(SpecError, match=message):
        resolve(name, compute_ns, model, 64)
