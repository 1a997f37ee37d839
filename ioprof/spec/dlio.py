"""``dlio:FILE.yaml``: a configuration of DLIO or MLPerf Storage, unchanged, as the values of a spec.

The keys that decide what is stored, how it is read and what waits for it are mapped; every other one is named before
the run and kept with it, apart for those that have no effect here, those that are not honoured, and those that nobody
knows. What each kind of key becomes stands in docs/workloads/dlio.md.
"""

from __future__ import annotations

import math
from pathlib import Path

from ioprof.errors import SpecError, nearest
from ioprof.spec.dlio_checkpoint import put_checkpoint_run, put_checkpoints
from ioprof.spec.dlio_file import DlioFile, read_dlio_file
from ioprof.spec.dlio_keys import NO_EFFECT, NOT_HONOURED, STAND_INS
from ioprof.spec.dlio_times import sleep_ns, step_times
from ioprof.spec.sources import RawSpec, Value

PREFIX = "dlio:"
_BY_NUMBER = {
    "npz": "npz", "npy": "npy", "jpeg": "jpeg", "png": "png",
    "indexed_binary": "indexed_binary", "mmap_indexed_binary": "indexed_binary",
}  # fmt: skip
_STREAMED = ("tfrecord", "parquet")
_PREFETCH_BATCHES = 2
"""``prefetch_size`` where the file has none."""
_SHUFFLE_SAMPLES = 1024
"""``shuffle_size`` where the file has none."""


def read_dlio(target: str, scale: str | None) -> RawSpec:
    """Return the values of ``dlio:FILE.yaml``.

    Args:
        target: the name as it was typed.
        scale: share of the dataset, or of a checkpoint's bytes, to work with; None: all of it.
    Raises:
        SpecError: the file is missing, not YAML, has values of wrong types, or describes what ioprof has not.
    """
    name = target.removeprefix(PREFIX)
    if not name:
        raise SpecError(f"{target}: which configuration? write dlio:FILE.yaml")
    path = Path(name)
    file, share = read_dlio_file(path), _share(scale)
    raw = RawSpec(file=path, is_scaled=True)
    mapper = _Mapper(file, raw)
    if file.flag("workflow.train") is False or not file.has("dataset.format"):
        if not file.flag("workflow.checkpoint"):
            raise SpecError(f"{path}: neither trains nor saves checkpoints: workflow.train or .checkpoint must be True")
        put_checkpoint_run(file, raw, share)
    else:
        mapper.dataset(share)
        mapper.reader()
        mapper.train()
        if file.flag("workflow.checkpoint"):
            put_checkpoints(file, raw)
        raw.stand_ins = _stand_ins(raw)
    _tell_the_rest(file, raw)
    return raw


def _stand_ins(raw: RawSpec) -> dict[tuple[str, str], str]:
    """Return the sentence of each key that the file leaves out and the result depends on."""
    drawn = "compute_spread" in raw.values["accelerator"]
    return {
        (section, key): f"{raw.file}: has no {one.theirs}; what stands in for it: {one.value}{one.unit}."
        for (section, key), one in STAND_INS.items()
        if key not in raw.values[section] and not (section == "accelerator" and drawn)
    }


def _share(scale: str | None) -> float:
    try:
        share = 1.0 if scale is None else float(scale)
    except ValueError:
        share = math.nan
    if not 0 < share <= 10_000:
        raise SpecError(f"--scale = {scale!r}: must be a number above 0 and at most 10,000; 1 is the file's own size")
    return share


class _Mapper:
    """Puts a training configuration's keys where they belong."""

    def __init__(self, file: DlioFile, raw: RawSpec) -> None:
        self._file = file
        self._raw = raw
        self._streams = False

    def put(self, section: str, key: str, value: Value | None, origin: str) -> None:
        """Set one value, unless the file says nothing."""
        if value is not None:
            self._raw.put(section, key, value, f"{self._file.path}: {origin}")

    def dataset(self, share: float) -> None:
        """Map what is stored."""
        file = self._file
        name = file.text("dataset.format")
        self._streams = name in _STREAMED
        if not self._streams and name not in _BY_NUMBER:
            raise file.wrong("dataset.format", f"not supported; there are {', '.join((*_BY_NUMBER, *_STREAMED))}")
        self.put("workload", "name", "dlio-shards" if self._streams else "dlio-files", "dataset.format")
        self.put("workload", "format", name if self._streams else _BY_NUMBER[name or ""], "dataset.format")
        self._counts(share)
        sizes = (("record_length_bytes", "record_size"), ("record_length", "record_size"),
                 ("record_length_bytes_stdev", "record_stdev"), ("record_length_bytes_resize", "deliver"))  # fmt: skip
        for key, ours in sizes:
            value = file.whole(f"dataset.{key}")
            # A standard deviation of 0 is none, and a resize to 0 means no resize.
            self.put("workload", ours, value or None, f"dataset.{key}")
        if file.text("dataset.compression") not in (None, "none"):
            file.read.discard("dataset.compression")
        if name == "parquet":
            self._parquet()

    def _counts(self, share: float) -> None:
        """Scale the files; where that leaves less than one, its samples."""
        file = self._file
        files = file.whole("dataset.num_files_train", least=1) or 1
        each = file.whole("dataset.num_samples_per_file", least=1) or 1
        kept = max(1, math.ceil(files * share - 1e-9))
        if each > 1 and files * share < 1:
            each = max(1, math.ceil(each * files * share - 1e-9))
        self.put("workload", "files", kept, "dataset.num_files_train")
        self.put("workload", "samples_per_file", each, "dataset.num_samples_per_file")
        folders = file.whole("dataset.num_subfolders_train")
        if folders and not self._streams:
            self.put("workload", "files_per_dir", -(-kept // folders), "dataset.num_subfolders_train")
        elif folders and folders > 1:
            file.read.discard("dataset.num_subfolders_train")

    def _parquet(self) -> None:
        file = self._file
        self.put("workload", "row_group", file.whole("dataset.parquet.row_group_size", least=1), "row_group_size")
        columns = file.mappings("dataset.parquet.columns")
        if columns:
            wanted = sum(one.get("read", True) is not False for one in columns)
            if any("read" in one for one in columns):
                wanted = sum(one.get("read") is True for one in columns)
            self.put("workload", "columns", len(columns), "dataset.parquet.columns")
            self.put("workload", "project", max(1, wanted), "dataset.parquet.columns")
        if file.text("dataset.parquet.read_mode") not in (None, "row_group"):
            file.read.discard("dataset.parquet.read_mode")

    def reader(self) -> None:
        """Map how it is read."""
        file = self._file
        self.put("loader", "name", "torch-iterable" if self._streams else "torch-map", "reader.data_loader")
        self.put("loader", "batch_size", file.whole("reader.batch_size", least=1), "reader.batch_size")
        self.put("loader", "drop_last", file.flag("reader.drop_last"), "reader.drop_last")
        threads, ahead = file.whole("reader.read_threads"), file.whole("reader.prefetch_size")
        self.put("loader", "workers", threads, "reader.read_threads")
        if threads:
            prefetch = max(1, -(-(_PREFETCH_BATCHES if ahead is None else ahead) // threads))
            self.put("loader", "prefetch", prefetch, "reader.prefetch_size")
        method = file.text("reader.multiprocessing_context")
        self.put("loader", "start_method", method, "reader.multiprocessing_context")
        if file.text("reader.data_loader") not in (None, "pytorch"):
            file.read.discard("reader.data_loader")
        slept_ns = sleep_ns(file, "reader.preprocess_time")
        if slept_ns:
            self.put("workload", "preprocess", f"{slept_ns}ns", "reader.preprocess_time")
        self._order()
        if self._streams:
            transfer = file.whole("reader.transfer_size", least=512)
            self.put("workload", "read_size", transfer, "reader.transfer_size")
        if file.flag("reader.dont_use_mmap") is False:
            file.read.discard("reader.dont_use_mmap")

    def _order(self) -> None:
        file = self._file
        files, samples = (self._shuffles(f"reader.{what}_shuffle") for what in ("file", "sample"))
        changes = file.flag("train.seed_change_epoch")
        if not self._streams:
            # One sample per file: whichever is shuffled, the order of the reads is.
            shuffle = ("once" if changes is False else "epoch") if files or samples else "off"
            return self.put("workload", "shuffle", shuffle, "reader.file_shuffle")
        if changes is False and (files or samples):
            file.read.discard("train.seed_change_epoch")
        self.put("workload", "shuffle_files", files, "reader.file_shuffle")
        size = file.whole("reader.shuffle_size") if samples else None
        held = (_SHUFFLE_SAMPLES if size is None else size) if samples else 0
        return self.put("workload", "shuffle_buffer", held, "reader.sample_shuffle")

    def _shuffles(self, key: str) -> bool:
        found = self._file.text(key)
        if found not in (None, "off", "seed", "random"):
            raise self._file.wrong(key, "must be off, seed or random")
        return found in ("seed", "random")

    def train(self) -> None:
        """Map what waits for the data."""
        file = self._file
        self.put("run", "epochs", file.whole("train.epochs", least=1) or 1, "train.epochs")
        steps = file.number("train.total_training_steps", least=-1)
        if steps is not None and steps > 0:
            self.put("run", "steps", round(steps), "train.total_training_steps")
        self.put("run", "seed", file.whole("train.seed"), "train.seed")
        compute_ns, spread = step_times(file)
        self.put("accelerator", "compute", None if compute_ns is None else f"{compute_ns}ns", "train.computation_time")
        self.put("accelerator", "compute_spread", spread, "train.computation_time")
        threshold = file.number("metric.au")
        if threshold is not None and threshold > 1:
            raise file.wrong("metric.au", "must be a share from 0 to 1")
        self.put("workload", "au_threshold", threshold, "metric.au")


def _tell_the_rest(file: DlioFile, raw: RawSpec) -> None:
    """Name every key that was not read, by why."""
    # What is switched off asks for nothing.
    left = [key for key in file.left() if not (key.startswith("workflow.") and file.values[key] is False)]
    off = _sections_switched_off(file, raw)
    saves = "checkpoint" not in off
    idle = [key for key in left if key.partition(".")[0] in off or _reason(key, NO_EFFECT) is not None]
    idle = [key for key in idle if not (saves and key.startswith("model.model_size"))]
    refused = [key for key in left if key not in idle and _reason(key, NOT_HONOURED) is not None]
    unknown = [key for key in left if key not in idle and key not in refused]
    by_name = {_whole_section(key): f"({_reason(key, NOT_HONOURED)})" for key in refused}
    by_name |= {key: f"(unknown{_hint(key)})" for key in unknown}
    raw.departures = [f"{name} {why}" for name, why in by_name.items()]
    if raw.departures:
        raw.caveats.append(f"{file.path}: not honoured: {', '.join(raw.departures)}.")
    if idle:
        raw.caveats.append(f"{file.path}: without effect here: {', '.join(idle)}.")


def _sections_switched_off(file: DlioFile, raw: RawSpec) -> set[str]:
    """Return the sections that belong to a part of the job that is not run."""
    if raw.values["workload"]["name"] == "checkpoint":
        return {"train", "dataset", "reader", "metric"}
    return set() if file.values.get("workflow.checkpoint") is True else {"checkpoint"}


def _reason(key: str, table: dict[str, str]) -> str | None:
    section = key.partition(".")[0]
    return table.get(key) or table.get(f"{section}.*")


def _whole_section(key: str) -> str:
    """Return how a key is named: those that only their section explains by that."""
    section = f"{key.partition('.')[0]}.*"
    return section if key not in NOT_HONOURED and section in NOT_HONOURED else key


def _hint(key: str) -> str:
    return nearest(key, [*NOT_HONOURED, *NO_EFFECT, *HONOURED])


HONOURED = (
    "workflow.train", "workflow.checkpoint", "dataset.format", "dataset.num_files_train",
    "dataset.num_samples_per_file", "dataset.record_length_bytes", "dataset.record_length_bytes_stdev",
    "dataset.record_length_bytes_resize", "dataset.num_subfolders_train", "reader.batch_size", "reader.read_threads",
    "reader.prefetch_size", "reader.file_shuffle", "reader.sample_shuffle", "reader.shuffle_size",
    "reader.preprocess_time", "reader.drop_last", "reader.transfer_size", "train.epochs", "train.computation_time",
    "train.total_training_steps", "train.seed", "train.seed_change_epoch", "metric.au",
)  # fmt: skip
"""What a misspelt key may have been meant for."""
