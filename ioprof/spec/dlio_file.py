"""A YAML configuration of DLIO as dotted keys, each read once with its type; what was not read is told.

Nothing of it is executed: interpolations and lists of defaults, which only Hydra can resolve, are refused by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from ioprof.errors import SpecError

SECTIONS = (
    "model", "workflow", "dataset", "reader", "train", "evaluation", "checkpoint", "metric", "storage", "output",
    "profiling",
)  # fmt: skip


@dataclass(slots=True)
class DlioFile:
    """One configuration."""

    path: Path
    values: dict[str, object]
    """Leaves by dotted key, such as ``train.computation_time`` or ``train.computation_time.mean``."""
    read: set[str] = field(default_factory=set)
    """Keys that were honoured."""

    def wrong(self, key: str, what: str) -> SpecError:
        """Return the error of one key."""
        return SpecError(f"{self.path}: {key} = {self.values.get(key)!r}: {what}")

    def has(self, key: str) -> bool:
        """Return whether the key is there, as a leaf."""
        return key in self.values

    def number(self, key: str, *, least: float = 0.0) -> float | None:
        """Return a number, or None where the key is missing.

        Raises:
            SpecError: it is none, or below ``least``.
        """
        found = self._take(key)
        if found is None:
            return None
        if isinstance(found, bool) or not isinstance(found, int | float | str):
            raise self.wrong(key, "must be a number")
        try:
            value = float(found)  # YAML 1.1 takes 1e-3 for text
        except ValueError:
            raise self.wrong(key, "must be a number") from None
        if not math.isfinite(value) or value < least:
            raise self.wrong(key, f"must be {least:g} or more")
        return value

    def whole(self, key: str, *, least: int = 0) -> int | None:
        """Return a whole number; 114660.07 bytes are rounded, as nothing can be stored of a part of one."""
        found = self.number(key, least=least)
        return None if found is None else round(found)

    def flag(self, key: str) -> bool | None:
        """Return true or false, or None where the key is missing."""
        found = self._take(key)
        if found is not None and not isinstance(found, bool):
            raise self.wrong(key, "must be True or False")
        return found

    def text(self, key: str) -> str | None:
        """Return a text, or None where the key is missing; YAML reads a bare ``off`` as False."""
        found = self._take(key)
        if found is False:
            return "off"
        if found is not None and not isinstance(found, str):
            raise self.wrong(key, "must be text")
        return found

    def mappings(self, key: str) -> list[dict[str, object]] | None:
        """Return a list of mappings, or None where the key is missing."""
        found = self._take(key)
        if found is None:
            return None
        if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
            raise self.wrong(key, "must be a list of mappings")
        return found

    def left(self) -> list[str]:
        """Return the keys that were not read, in the order of the file."""
        return [key for key in self.values if key not in self.read]

    def _take(self, key: str) -> object:
        if key in self.values:
            self.read.add(key)
        return self.values.get(key)


def read_dlio_file(path: Path) -> DlioFile:
    """Return a configuration.

    Raises:
        SpecError: it cannot be read, is not YAML, no mapping of sections, or needs Hydra.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise SpecError(f"{path}: not a YAML file: nested too deeply") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not a YAML file: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict) or not content:
        raise SpecError(f"{path}: holds no sections: a DLIO configuration has dataset:, reader:, train: ...")
    if "defaults" in content:
        raise SpecError(
            f"{path}: has a list of defaults, which only Hydra resolves; give the configuration that it writes into "
            "its output folder (.hydra/config.yaml)"
        )
    inner = content.get("workload")
    if isinstance(inner, dict):  # as Hydra writes it out
        content = inner
    return DlioFile(path, dict(_leaves(path, content, "")))


def _leaves(path: Path, content: Mapping[object, object], prefix: str) -> Iterator[tuple[str, object]]:
    for name, value in content.items():
        key = f"{prefix}{name}"
        if not prefix and name in SECTIONS and not isinstance(value, dict | None):
            raise SpecError(f"{path}: {key} = {value!r}: must be a section with keys below it")
        if isinstance(value, dict):
            yield from _leaves(path, value, f"{key}.")
            continue
        if isinstance(value, str) and "${" in value:
            raise SpecError(f"{path}: {key} = {value!r}: interpolations are not resolved here; write the value itself")
        if value is not None or prefix:
            yield key, value
