"""Where spec values come from: a TOML file, then flags, then ``--set``; later ones win, and each is remembered."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from ioprof.errors import SpecError, nearest

Value = str | int | float | bool
COMMAND_LINE = "the command line"
"""Origin of a name that was typed as the target."""
SECTIONS = ("workload", "store", "loader", "accelerator", "run")


@dataclass(slots=True)
class RawSpec:
    """Values as given, not yet validated, each with where it came from."""

    values: dict[str, dict[str, Value]] = field(default_factory=lambda: {name: {} for name in SECTIONS})
    origins: dict[tuple[str, str], str] = field(default_factory=dict)
    file: Path | None = None
    """Spec file that gave the first values."""

    def put(self, section: str, key: str, value: Value, origin: str) -> None:
        """Set one value; a later one replaces an earlier one."""
        self.values[section][key] = value
        self.origins[section, key] = origin

    def origin(self, section: str, key: str) -> str:
        """Return where a value came from, for messages."""
        return self.origins.get((section, key), f"[{section}]")


def read_toml(path: Path) -> RawSpec:
    """Return the values of a spec file.

    Raises:
        SpecError: unreadable, not TOML, an unknown section, or a value that is no plain scalar.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path}: not a TOML file: {error}") from error
    raw = RawSpec(file=path)
    for section, entries in content.items():
        if section not in SECTIONS:
            raise SpecError(f"{path}: unknown section [{section}]{nearest(section, SECTIONS)}")
        if not isinstance(entries, dict):
            raise SpecError(f"{path}: '{section}' must be a section: write [{section}] and its keys below it")
        for key, value in entries.items():
            if not isinstance(value, str | int | float | bool):
                raise SpecError(f"{path}: {section}.{key} = {value!r} must be one plain value")
            raw.put(section, key, value, f"{path}: {section}.{key}")
    return raw


def put_assignment(raw: RawSpec, assignment: str) -> None:
    """Apply one ``--set section.key=value``.

    Raises:
        SpecError: not of that form, or an unknown section.
    """
    name, equals, text = assignment.partition("=")
    section, dot, key = name.strip().partition(".")
    if not (equals and dot and key):
        raise SpecError(f"--set {assignment}: write it as section.key=value, such as workload.files=1M")
    if section not in SECTIONS:
        raise SpecError(f"--set {assignment}: unknown section '{section}'{nearest(section, SECTIONS)}")
    raw.put(section, key, _scalar(text.strip()), f"--set {section}.{key}")


def _scalar(text: str) -> Value:
    """Read true and false as such; everything else stays text, which the field's own parser understands."""
    return json.loads(text) if text in ("true", "false") else text
