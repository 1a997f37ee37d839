"""A resolved mixed run as the TOML file that would give it again."""

from __future__ import annotations

from ioprof.compound.mixed_spec import MixedSpec
from ioprof.plugins import MIXED
from ioprof.spec.render import plugin_lines, to_toml

_OF_ALL = ("epochs", "duration", "results", "label")


def mixed_toml(spec: MixedSpec) -> str:
    """Return the mixed run as TOML: what all pipelines share, then each with every value written out."""
    first = next(iter(spec.pipelines.values()))
    common = _sections(to_toml(first))
    lines = [plugin_lines() + "[workload]", f'name = "{MIXED}"', "", "[store]", *common["store"], "", "[run]"]
    lines += [line for line in common["run"] if _key(line) in _OF_ALL]
    for name, one in spec.pipelines.items():
        for section, values in _sections(to_toml(one)).items():
            own = [line for line in values if section != "run" or _key(line) not in _OF_ALL]
            if section != "store" and own:
                lines += ["", f"[pipeline.{name}.{section}]", *own]
    return "\n".join(lines) + "\n"


def _sections(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("[") and line.endswith("]"):
            found[line[1:-1]] = section = []
        elif line:
            section.append(line)
    return found


def _key(line: str) -> str:
    return line.removeprefix("# ").partition(" ")[0]
