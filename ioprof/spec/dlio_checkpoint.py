"""DLIO's checkpoints: beside training, or alone, as MLPerf Storage's configurations of Llama have them."""

from __future__ import annotations

from ioprof.errors import SpecError
from ioprof.spec.dlio_file import DlioFile
from ioprof.spec.sources import RawSpec

_DATATYPE_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "fp8": 1, "int8": 1, "uint8": 1}
_OPTIMIZER_COPIES = 3
"""Master weights and two moments, each in the optimizer's type."""
_LEAST_BYTES = 64 << 10
_LEAST_MODEL_BYTES = 1 << 20
_MOST_SHARDS = 64


def put_checkpoints(file: DlioFile, raw: RawSpec) -> None:
    """Map the checkpoints of a training configuration; where the dataset is scaled, the model's size stays."""
    every = file.whole("checkpoint.steps_between_checkpoints", least=1)
    epochs = None if every else file.whole("checkpoint.epochs_between_checkpoints", least=1)
    if every:
        raw.put("checkpoint", "every", every, f"{file.path}: checkpoint.steps_between_checkpoints")
    elif epochs:
        raw.epochs_between_saves = epochs
        raw.origins["checkpoint", "every"] = f"{file.path}: checkpoint.epochs_between_checkpoints"
    else:
        return
    for key in ("model.model_size", "model.model_size_bytes"):
        size_bytes = file.whole(key)
        if size_bytes is not None and size_bytes < _LEAST_MODEL_BYTES:
            file.read.discard(key)  # no bytes: some files count in another unit and do not say which
        elif size_bytes is not None:
            _put_size(file, raw, size_bytes, 1.0, key)
    _put_durability(file, raw)


def put_checkpoint_run(file: DlioFile, raw: RawSpec, share: float) -> None:
    """Map a configuration that only saves and restores.

    Raises:
        SpecError: it does not say how large the model is.
    """
    path = file.path
    raw.put("workload", "name", "checkpoint", f"{path}: workflow.checkpoint")
    file.read.add("workflow.train")
    _put_size(file, raw, _state_bytes(file), share, "model")
    ranks = (file.whole("model.parallelism.tensor", least=1) or 1) * (
        file.whole("model.parallelism.pipeline", least=1) or 1
    )
    raw.put("checkpoint", "shards", min(ranks, _MOST_SHARDS), f"{path}: model.parallelism")
    raw.put("checkpoint", "every", 1, f"{path}: checkpoint")
    raw.put("run", "steps", file.whole("checkpoint.num_checkpoints_write", least=1) or 1, f"{path}: checkpoint")
    raw.put("run", "warmup", 0, f"{path}: checkpoint")
    pause_s = file.number("checkpoint.time_between_checkpoints") or 0.0
    raw.put("accelerator", "compute", f"{round(pause_s * 1e9)}ns", f"{path}: checkpoint.time_between_checkpoints")
    reads = file.whole("checkpoint.num_checkpoints_read")
    raw.put("checkpoint", "restore", bool(reads), f"{path}: checkpoint.num_checkpoints_read")
    if reads and reads > 1:
        file.read.discard("checkpoint.num_checkpoints_read")
    _put_durability(file, raw)


def _put_durability(file: DlioFile, raw: RawSpec) -> None:
    fsync = file.flag("checkpoint.fsync")
    if fsync is not None:
        raw.put("checkpoint", "fsync", fsync, f"{file.path}: checkpoint.fsync")


def _put_size(file: DlioFile, raw: RawSpec, size_bytes: int, share: float, key: str) -> None:
    raw.put("checkpoint", "size", max(_LEAST_BYTES, round(size_bytes * share)), f"{file.path}: {key}")


def _state_bytes(file: DlioFile) -> int:
    """Return the bytes of weights and optimizer state of a transformer, from its shape."""
    layers, hidden = file.whole("model.num_layers", least=1), file.whole("model.transformer.hidden_size", least=1)
    vocabulary, inner = file.whole("model.transformer.vocab_size"), file.whole("model.transformer.ffn_hidden_size")
    heads, shared = (
        file.whole("model.transformer.num_attention_heads", least=1),
        file.whole("model.transformer.num_kv_heads"),
    )
    if layers is None or hidden is None or vocabulary is None or inner is None:
        raise SpecError(
            f"{file.path}: model has no num_layers and transformer.hidden_size, .vocab_size, .ffn_hidden_size: the "
            "size of a checkpoint is not known; use ioprof run checkpoint --checkpoint-size 10GiB"
        )
    kept = (shared or heads or 1) / (heads or 1)
    attention = 2 * hidden * hidden + round(2 * hidden * hidden * kept)
    layer = attention + 3 * hidden * inner + 2 * hidden
    parameters = layers * layer + 2 * vocabulary * hidden + hidden
    each = _datatype(file, "model.model_datatype", "fp16")
    each += _OPTIMIZER_COPIES * _datatype(file, "model.optimizer_datatype", "fp32")
    return parameters * each


def _datatype(file: DlioFile, key: str, default: str) -> int:
    name = file.text(key) or default
    if name not in _DATATYPE_BYTES:
        raise file.wrong(key, f"must be one of {', '.join(_DATATYPE_BYTES)}")
    return _DATATYPE_BYTES[name]
