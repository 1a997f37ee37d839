"""DLIO's configurations, unchanged: what each becomes, what of it is named as not honoured, what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ioprof.api import spec_of
from ioprof.errors import SpecError, UsageError
from ioprof.runner.plan import RunPlan, plan_run
from ioprof.spec.flags import raw_spec
from ioprof.spec.model import RunSpec
from ioprof.spec.resolve import resolve

CONFIGS = Path(__file__).parents[1] / "data" / "dlio"
NAMES = sorted(path.name for path in CONFIGS.glob("*.yaml"))


def _spec(name: str, *words: str, sets: tuple[str, ...] = ()) -> RunSpec:
    return resolve(raw_spec(f"dlio:{CONFIGS / name}", [], sets, words))


def _of(tmp_path: Path, text: str, *words: str) -> RunSpec:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    return resolve(raw_spec(f"dlio:{path}", [], [], words))


def _params(spec: RunSpec) -> dict[str, object]:
    return spec.workload_params.model_dump()


SMALL = {
    # Just enough samples for the published batches, and checkpoints that fit into memory.
    "bert_": "0.001", "cosmo": "0.001", "defau": "1", "dlrm.": "0.1", "llama": "0.00001", "megat": "0.0001",
    "resne": "0.01", "unet3": "0.5", "v3_dl": "0.001", "v3_fl": "0.01", "v3_re": "0.01", "v3_un": "0.01",
}  # fmt: skip


def test_there_is_a_copy_of_each_published_configuration() -> None:
    """24 of DLIO, 4 of MLPerf Storage v3."""
    assert len(NAMES) == 28


@pytest.mark.parametrize("name", NAMES)
def test_every_published_configuration_can_be_run_scaled_down(name: str) -> None:
    """It resolves, a loader accepts it, there are steps to measure; nothing of it is lost without a word."""
    spec = _spec(name, "--scale", SMALL[name[:5]])
    assert isinstance(plan_run(spec), RunPlan)
    assert any("framework" in caveat for caveat in spec.caveats)
    assert not any("unknown" in told for told in spec.departures)


def test_the_numbers_of_unet3d_arrive() -> None:
    """Sizes, batch, workers, ceil(2 / 4) = 1 batch ahead, the step time, epochs, a save after every second epoch."""
    spec = _spec("unet3d_h100.yaml")
    assert spec.workload == "dlio-files"
    params = _params(spec)
    assert {key: params[key] for key in ("format", "files", "record_size", "record_stdev", "deliver", "shuffle")} == {
        "format": "npz", "files": 168, "record_size": 146_600_628, "record_stdev": 68_341_808, "deliver": 2_097_152,
        "shuffle": "epoch",
    }  # fmt: skip
    loader = spec.sections(as_text=False)["loader"]
    assert (loader["name"], loader["batch_size"], loader["workers"], loader["prefetch"]) == ("torch-map", 7, 4, 1)
    assert (spec.accelerator.compute, spec.accelerator.copy_to_device, spec.run.epochs) == (323_000_000, False, 5)
    assert (spec.checkpoint.every, spec.checkpoint.size) == (2 * (168 // 7), 499_153_191)
    assert params["au_threshold"] == 0.90
    assert plan_run(spec).accelerator.record.source.endswith("unet3d_h100.yaml: train.computation_time")


def test_the_numbers_of_resnet50_arrive() -> None:
    """A stream of TFRecord; 114,660.07 bytes are rounded; nothing is shuffled; TensorFlow's loader is told of."""
    spec = _spec("resnet50_h100.yaml")
    params = _params(spec)
    assert (spec.workload, params["format"], params["files"], params["samples_per_file"]) == (
        "dlio-shards", "tfrecord", 1024, 1251,
    )  # fmt: skip
    assert (params["record_size"], params["deliver"], params["shuffle_buffer"]) == (114_660, 150_528, 0)
    assert any(told.startswith("reader.data_loader") for told in spec.departures)


def test_steps_and_saves_of_bert_arrive() -> None:
    """1,000 steps, a save every 250, of the size the file gives."""
    spec = _spec("bert_v100.yaml")
    assert (spec.run.steps, spec.checkpoint.every, spec.checkpoint.size) == (1000, 250, 4_034_713_312)
    assert (_params(spec)["read_size"], _params(spec)["shuffle_files"]) == (262_144, True)


def test_columns_of_parquet_arrive(tmp_path: Path) -> None:
    """All of them, or those with read: true; the row group too."""
    assert (_params(_spec("v3_flux_b200.yaml"))["columns"], _params(_spec("v3_flux_b200.yaml"))["project"]) == (5, 5)
    spec = _of(
        tmp_path,
        "dataset: {format: parquet, record_length: 300, num_samples_per_file: 50, parquet: {row_group_size: 10, "
        "columns: [{name: a, read: true}, {name: b}, {name: c, read: false}]}}",
    )
    assert [_params(spec)[key] for key in ("columns", "project", "row_group")] == [3, 1, 10]


@pytest.mark.parametrize(("name", "size_gib"), [("llama_8b_zero3", 104.7), ("llama_70b", 911), ("llama_405b", 5290)])
def test_a_llama_s_checkpoint_is_as_large_as_its_shape_makes_it(name: str, size_gib: float) -> None:
    """Two bytes of weights and twelve of optimizer for each parameter: 8, 70 and 405 billion of them."""
    spec = _spec(f"{name}.yaml")
    assert spec.workload == "checkpoint"
    assert spec.checkpoint.size / 2**30 == pytest.approx(size_gib, rel=0.01)
    assert (spec.run.steps, spec.checkpoint.every, spec.accelerator.compute) == (10, 1, 5 * 10**9)
    assert (spec.checkpoint.fsync, spec.checkpoint.restore) == (True, True)
    assert any(told.startswith("checkpoint.num_checkpoints_read") for told in spec.departures)


def test_scale_shrinks_files_then_samples_then_checkpoints() -> None:
    """0.1 of 168 files are 17; a tenth of the one file is a tenth of its samples; a checkpoint has fewer bytes."""
    assert _params(_spec("unet3d_h100.yaml", "--scale", "0.1"))["files"] == 17
    shared = _params(_spec("dlrm.yaml", "--scale=0.1"))
    assert (shared["files"], shared["samples_per_file"]) == (1, 103)
    whole, tenth = (_spec("llama_7b.yaml", "--scale", scale).checkpoint.size for scale in ("1", "0.1"))
    assert tenth == pytest.approx(whole / 10)


def test_flags_and_set_win_over_the_file() -> None:
    """As over a spec file of ioprof's own."""
    spec = _spec("unet3d_h100.yaml", "--files", "9", "--batch-size", "3", sets=("run.epochs=2",))
    assert (_params(spec)["files"], spec.loader_section.batch_size, spec.run.epochs) == (9, 3, 2)


SAVES = (
    "dataset: {format: npz, num_files_train: 100, record_length_bytes: 10}\ntrain: {computation_time: 0.1}\n"
    "workflow: {checkpoint: True}\ncheckpoint: {epochs_between_checkpoints: 2}\n"
)


@pytest.mark.parametrize(
    ("words", "every"),
    [
        ((), 50),
        (("--batch-size", "10"), 20),
        (("--files", "40"), 20),
        (("--batch-size", "30", "--drop-last", "false"), 8),
        (("--checkpoint-every", "7"), 7),
    ],
)
def test_epochs_between_saves_are_counted_in_steps_of_the_run(
    tmp_path: Path, words: tuple[str, ...], every: int
) -> None:
    """With the batch that stands in where the file has none, and with what is given on top of the file."""
    spec = _of(tmp_path, SAVES, *words)
    assert spec.checkpoint.every == every


def test_what_stands_in_for_an_absent_key_is_told(tmp_path: Path) -> None:
    """Each value that the run takes, unless a flag gives another; a file that says it all is told nothing."""
    bare = "dataset: {format: tfrecord}\n"
    spec = _of(tmp_path, bare)
    told = [caveat.partition("job.yaml: ")[2] for caveat in spec.caveats if "stands in" in caveat]
    assert told == [
        f"has no reader.batch_size; what stands in for it: {spec.loader_section.batch_size} samples.",
        f"has no train.computation_time; what stands in for it: {(spec.accelerator.compute or 0) // 10**6}ms.",
        f"has no dataset.record_length_bytes; what stands in for it: {_params(spec)['record_size']} B.",
    ]
    given = _of(tmp_path, bare, "--batch-size", "2", "--compute-spread", "normal:20ms:2ms", "--record-size", "5")
    for all_said in (given, _spec("unet3d_h100.yaml")):
        assert not any("stands in" in caveat for caveat in all_said.caveats)


TRAIN = "dataset: {format: npz, num_files_train: 100}\nreader: {batch_size: 4}\ntrain: {%s}\n"


@pytest.mark.parametrize(
    ("given", "compute_ns", "spread"),
    [
        ("computation_time: 0.5", 500_000_000, None),
        ("computation_time: 1e-3", 1_000_000, None),
        ("computation_time: {mean: 0.5}", 500_000_000, None),
        ("computation_time: {mean: 0.5, stdev: 0.1}", None, "normal:500000000ns:100000000ns"),
        ("computation_time: 0.5, computation_time_stdev: 0.1", None, "normal:500000000ns:100000000ns"),
        ("computation_time: {type: uniform, min: 0.1, max: 0.3}", None, "uniform:100000000ns:300000000ns"),
        ("computation_time: {type: gamma, shape: 2, scale: 0.1}", None, "gamma:2:100000000ns"),
        ("computation_time: {type: exponential, scale: 0.1}", None, "exponential:100000000ns"),
        ("computation_time: {type: poisson, lam: 2}", None, "poisson:2000000000ns"),
    ],
)
def test_computation_times_arrive_with_their_distribution(
    tmp_path: Path, given: str, compute_ns: int | None, spread: str | None
) -> None:
    """Seconds become busy time per batch, or a distribution of it."""
    section = _of(tmp_path, TRAIN % given).accelerator
    assert section.compute_spread == spread
    if spread is None:
        assert section.compute == compute_ns


@pytest.mark.parametrize(
    ("reader", "train", "shuffle"),
    [
        ("file_shuffle: off", "epochs: 1", "off"),
        ("file_shuffle: seed", "epochs: 1", "epoch"),
        ("sample_shuffle: random", "epochs: 1", "epoch"),
        ("sample_shuffle: seed", "seed_change_epoch: False", "once"),
    ],
)
def test_orders_arrive(tmp_path: Path, reader: str, train: str, shuffle: str) -> None:
    """Either shuffle makes the order random; seed_change_epoch says whether anew."""
    text = f"dataset: {{format: jpeg}}\nreader: {{{reader}}}\ntrain: {{{train}}}\n"
    assert _params(_of(tmp_path, text))["shuffle"] == shuffle


def test_other_reader_settings_arrive(tmp_path: Path) -> None:
    """Threads, batches ahead, preprocessing, dropped batches, folders."""
    spec = _of(
        tmp_path,
        "dataset: {format: npz, num_files_train: 100, num_subfolders_train: 8}\n"
        "reader: {read_threads: 3, prefetch_size: 7, preprocess_time: 0.002, drop_last: False}\n"
        "train: {seed: 5, total_training_steps: 12}\n",
    )
    loader = spec.sections(as_text=False)["loader"]
    assert (loader["workers"], loader["prefetch"], loader["drop_last"]) == (3, 3, False)
    assert (_params(spec)["preprocess"], _params(spec)["files_per_dir"]) == (2_000_000, 13)
    assert (spec.run.seed, spec.run.steps) == (5, 12)


def test_keys_that_are_not_honoured_or_unknown_are_named_with_a_reason(tmp_path: Path) -> None:
    """Never ignored in silence; a misspelt one gets the nearest right name; no value is shown, secrets among them."""
    spec = _of(
        tmp_path,
        "dataset: {format: npz, record_lenght_bytes: 5, compression: gzip}\nworkflow: {evaluation: True}\n"
        "storage: {storage_options: {secret_access_key: hush}}\nnovel: {thing: 1}\nreader: {computation_threads: 8}\n",
    )
    told = " | ".join(spec.departures)
    assert "dataset.record_lenght_bytes (unknown; did you mean 'dataset.record_length_bytes'?)" in told
    for name in ("dataset.compression (", "workflow.evaluation (", "storage.* (", "novel.thing (unknown"):
        assert name in told
    assert "reader.computation_threads (" in told
    assert "hush" not in " ".join([*spec.caveats, *spec.departures])
    assert all(one in spec.caveats[0] for one in spec.departures)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n- b\n", "holds no sections"),
        ("", "holds no sections"),
        ("dataset: {format: [", "not a YAML file"),
        ("[" * 20_000, "not a YAML file: nested too deeply"),
        ("dataset: npz\n", "dataset = 'npz': must be a section|dataset"),
        ("defaults:\n  - workload: unet3d\n", "only Hydra resolves"),
        ("dataset: {format: npz, data_folder: '${oc.env:HOME}/x'}\n", "dataset.data_folder = .*interpolations"),
        ("dataset: {format: hdf5}\n", "dataset.format = 'hdf5': not supported; there are npz"),
        ("dataset: {format: npz, num_files_train: many}\n", "dataset.num_files_train = 'many': must be a number"),
        ("dataset: {format: npz, num_files_train: 0}\n", "dataset.num_files_train = 0: must be 1 or more"),
        ("dataset: {format: npz}\nreader: {batch_size: [4]}\n", r"reader.batch_size = \[4\]: must be a number"),
        ("dataset: {format: npz}\nreader: {drop_last: 1}\n", "reader.drop_last = 1: must be True or False"),
        ("dataset: {format: npz}\nreader: {file_shuffle: yes please}\n", "must be off, seed or random"),
        ("dataset: {format: npz}\ntrain: {computation_time: -1}\n", "train.computation_time = -1: must be 0 or more"),
        ("dataset: {format: npz}\ntrain: {computation_time: {type: cauchy}}\n", "must be normal, uniform"),
        ("dataset: {format: npz}\ntrain: {computation_time: {type: gamma, shape: 2}}\n", "gamma distribution needs it"),
        ("dataset: {format: npz}\nmetric: {au: 90}\n", "metric.au = 90: must be a share"),
        ("dataset: {format: parquet, parquet: {columns: 5}}\n", "must be a list of mappings"),
        ("workflow: {train: False}\n", "neither trains nor saves checkpoints"),
        ("workflow: {train: False, checkpoint: True}\n", "size of a checkpoint is not known"),
        (TRAIN % "epochs: 1.0e30", "train.epochs"),
        ("dataset: {format: png, num_samples_per_file: 4}\n", "a picture is one sample"),
    ],
)
def test_what_makes_no_sense_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    """With the file and the key."""
    with pytest.raises(SpecError, match=message) as told:
        plan_run(_of(tmp_path, text))
    assert "\n" not in str(told.value)
    if "a picture" not in message:
        assert "job.yaml" in str(told.value)


def test_a_missing_file_is_told_by_its_path() -> None:
    """And a directory too."""
    with pytest.raises(SpecError, match=r"nowhere.yaml: cannot be read: No such file"):
        raw_spec("dlio:nowhere.yaml", [], [], [])
    with pytest.raises(SpecError, match=r"dlio: cannot be read: Is a directory"):
        raw_spec(f"dlio:{CONFIGS}", [], [], [])


@pytest.mark.parametrize("scale", ["0", "-1", "nan", "half", "1e9"])
def test_a_scale_that_makes_no_sense_is_refused(scale: str) -> None:
    """With the value."""
    with pytest.raises(SpecError, match=rf"--scale = '{scale}'"):
        _spec("default.yaml", "--scale", scale)


def test_scale_without_a_value_is_refused() -> None:
    """As any flag."""
    with pytest.raises(UsageError, match="--scale"):
        _spec("default.yaml", "--scale")


def test_what_hydra_writes_out_is_understood(tmp_path: Path) -> None:
    """Its output stands below a key of its own."""
    spec = _of(tmp_path, "workload:\n  dataset: {format: npz, num_files_train: 12}\n")
    assert _params(spec)["files"] == 12


def test_python_takes_a_configuration_by_the_same_name() -> None:
    """As `ioprof run` does."""
    assert spec_of(f"dlio:{CONFIGS / 'default.yaml'}") == _spec("default.yaml")
