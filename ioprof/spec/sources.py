"""Where spec values come from: a TOML file, then flags, then ``--set``; later ones win, and each is remembered."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from ioprof.errors import PluginError, SpecError, nearest
from ioprof.plugins import use_plugin_file

Value = str | int | float | bool
YAML = (".yaml", ".yml")
"""How names of DLIO's configurations end."""
COMMAND_LINE = "the command line"
"""Origin of a name that was typed as the target."""
SECTIONS = ("workload", "store", "loader", "accelerator", "checkpoint", "run")
PLUGIN_KEY = "plugin"
"""Key before the first section: a plug-in file, or a list of them, relative to the spec file."""


THROTTLE = "throttle."
"""What keys of [store] begin with that make a throttled store of its URL."""


@dataclass(slots=True)
class RawSpec:
    """Values as given, not yet validated, each with where it came from."""

    values: dict[str, dict[str, Value]] = field(default_factory=lambda: {name: {} for name in SECTIONS})
    origins: dict[tuple[str, str], str] = field(default_factory=dict)
    file: Path | None = None
    """Spec file that gave the first values."""
    caveats: list[str] = field(default_factory=list)
    """What of another program's configuration became nothing here; told before the run and kept with it."""
    departures: list[str] = field(default_factory=list)
    """What of it would have changed the load."""
    stand_ins: dict[tuple[str, str], str] = field(default_factory=dict)
    """What it leaves open and the result depends on, by section and key: told unless it is given on top."""
    is_scaled: bool = False
    """``--scale`` decides how large its dataset is."""
    epochs_between_saves: int | None = None
    """It counts ``checkpoint.every`` in epochs: how many steps these are depends on what is given on top."""

    def put(self, section: str, key: str, value: Value, origin: str) -> None:
        """Set one value; a later one replaces an earlier one."""
        self.values[section][key] = value
        self.origins[section, key] = origin

    def origin(self, section: str, key: str) -> str:
        """Return where a value came from, for messages."""
        return self.origins.get((section, key), f"[{section}]")


def read_toml(path: Path) -> RawSpec:
    """Return the values of a spec file; the plug-in files that it names are known from then on.

    Raises:
        SpecError: unreadable, not TOML, an unknown section, or a value that is no plain scalar.
        PluginError: a plug-in file that it names cannot be used.
    """
    return raw_of(path, toml_content(path))


def toml_content(path: Path) -> dict[str, object]:
    """Return a TOML file as nested dictionaries.

    Raises:
        SpecError: unreadable, or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SpecError(f"{path}: cannot be read: {error.strerror}") from error
    except RecursionError as error:
        raise SpecError(f"{path}: not a TOML file: nested too deeply") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        dlio = f"; for a DLIO configuration write dlio:{path}" if path.suffix in YAML else ""
        raise SpecError(f"{path}: not a TOML file: {error}{dlio}") from error


def use_plugins_of(path: Path, content: dict[str, object]) -> None:
    """Take the plug-in files out of a spec file's content and make them known.

    Raises:
        SpecError: the key holds something else.
        PluginError: a file cannot be used.
    """
    named = content.pop(PLUGIN_KEY, [])
    for name in named if isinstance(named, list) else [named]:
        if not isinstance(name, str):
            raise SpecError(f"{path}: {PLUGIN_KEY} = {name!r}: write the path of a Python file, or a list of them")
        try:
            use_plugin_file(path.parent / name)
        except PluginError as error:
            raise PluginError(f"{path}: {PLUGIN_KEY}: {error}") from error


def raw_of(path: Path, content: dict[str, object], where: str = "") -> RawSpec:
    """Return the values of a spec file's content, or of a part of it.

    Args:
        path: the file, for messages.
        content: sections by name; a plug-in key is taken out.
        where: what stands before a section's name in messages, such as ``pipeline.train.``.

    Raises:
        SpecError: an unknown section, or a value that is no plain scalar.
        PluginError: a plug-in file that it names cannot be used.
    """
    use_plugins_of(path, content)
    raw = RawSpec(file=path)
    for section, entries in content.items():
        if section == "pipeline":
            raise SpecError(f"{path}: has pipelines: it is a mixed run, known to run, prepare and suite only")
        if section == "entry" and not where:
            raise SpecError(f"{path}: has entries: it is a suite; run it with ioprof suite {path}")
        if section not in SECTIONS:
            raise SpecError(f"{path}: unknown section [{where}{section}]{nearest(section, SECTIONS)}")
        if not isinstance(entries, dict):
            raise SpecError(
                f"{path}: '{where}{section}' must be a section: write [{where}{section}] and its keys below it"
            )
        for key, value in entries.items():
            if (section, key) == ("store", "throttle") and isinstance(value, dict):
                _put_throttle(raw, value, f"{path}: {where}store.throttle")
                continue
            if not isinstance(value, str | int | float | bool):
                raise SpecError(f"{path}: {where}{section}.{key} = {value!r} must be one plain value")
            raw.put(section, key, value, f"{path}: {where}{section}.{key}")
    return raw


def _put_throttle(raw: RawSpec, parameters: dict[str, object], origin: str) -> None:
    """Take the parameters of a throttled store, which a section of their own may hold."""
    for key, value in parameters.items():
        if not isinstance(value, str | int | float):
            raise SpecError(
                f'{origin}.{key} = {value!r} must be one plain value; a key with a dot is quoted: "latency.open"'
            )
        raw.put("store", f"{THROTTLE}{key}", value, f"{origin}.{key}")


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
