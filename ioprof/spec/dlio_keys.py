"""DLIO's keys that are known and not mapped, each with why; ``section.*`` stands for all of a section."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StandIn:
    """What is taken where a configuration does not say a thing that decides the result."""

    theirs: str
    """The key that would say it."""
    value: str | int
    unit: str = ""


STAND_INS: Mapping[tuple[str, str], StandIn] = {
    ("loader", "batch_size"): StandIn(theirs="reader.batch_size", value=4, unit=" samples"),
    ("accelerator", "compute"): StandIn(theirs="train.computation_time", value="20ms"),
    ("workload", "record_size"): StandIn(theirs="dataset.record_length_bytes", value=4096, unit=" B"),
}
"""By our section and key; the defaults of `dlio-files` and `dlio-shards` are these."""
NO_EFFECT: dict[str, str] = {
    "framework": "torch loads the data",
    "model.name": "a name",
    "model.type": "a name",
    "model.model_size": "describes checkpoints, and none are saved",
    "model.model_size_bytes": "describes checkpoints, and none are saved",
    "model.*": "describes checkpoints beyond their size",
    "dataset.data_folder": "the dataset goes to --store",
    "dataset.file_prefix": "names are numbers",
    "dataset.keep_files": "a dataset stays until ioprof clean",
    "dataset.num_files_eval": "belongs to evaluation",
    "dataset.num_subfolders_eval": "belongs to evaluation",
    "reader.batch_size_eval": "belongs to evaluation",
    "workflow.generate_data": "what is missing is prepared",
    "checkpoint.checkpoint_folder": "checkpoints go to --store",
    "output.*": "results go to --results",
    "profiling.*": "ioprof observes the host by itself",
    "evaluation.*": "belongs to evaluation",
}
"""Keys that change nothing of the load, or belong to a part that is switched off (which is told where it is on)."""

NOT_HONOURED: dict[str, str] = {
    "workflow.evaluation": "only training is run",
    "workflow.profiling": "ioprof observes the host by itself",
    "workflow.debug": "there is no such mode",
    "dataset.compression": "content is stored as it is",
    "dataset.compression_level": "content is stored as it is",
    "dataset.num_subfolders_train": "streamed files stand in one folder",
    "dataset.parquet.read_mode": "row groups are read",
    "dataset.chunking": "a matter of hdf5",
    "dataset.chunk_size": "a matter of hdf5",
    "reader.data_loader": "torch's DataLoader stands for it",
    "reader.computation_threads": "samples are finished where they are read",
    "reader.transfer_size": "whole samples are read at once",
    "reader.shuffle_size": "nothing is shuffled through a buffer",
    "reader.dont_use_mmap": "nothing is mapped here",
    "reader.pin_memory": "give --pin true where there is a CUDA device",
    "reader.odirect": "reads go through the page cache",
    "train.seed_change_epoch": "streamed files are shuffled anew in each epoch",
    "checkpoint.checkpoint_after_epoch": "saves are counted in steps from the first",
    "checkpoint.type": "one rank saves",
    "model.model_size": "too small for a number of bytes; give --checkpoint-size",
    "model.model_size_bytes": "too small for a number of bytes; give --checkpoint-size",
    "checkpoint.num_checkpoints_read": "the last save is read once",
    "storage.*": "give the store by --store, its credentials by the environment",
}
"""Keys that would change the load, or what is measured of it."""
