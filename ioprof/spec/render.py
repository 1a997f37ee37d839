"""A resolved spec as the TOML file that would give it again."""

from __future__ import annotations

import json

from pydantic import BaseModel

from ioprof.spec.model import RunSpec


def to_toml(spec: RunSpec) -> str:
    """Return the spec as TOML, every value written out; keys without a value stand as comments.

    So does the default duration, which any number of epochs replaces.
    """
    lines: list[str] = []
    for section, values in spec.sections(as_text=True).items():
        lines.append(f"[{section}]")
        for key, value in values.items():
            line = f"# {key} is not set" if value is None else f"{key} = {_toml(value)}"
            if (section, key) == ("run", "duration") and spec.duration_is_default:
                # Written as a value, it would also hold where epochs are asked for on top.
                line = f"# {line} is the default without epochs"
            lines.append(line)
        lines.append("")
    return "\n".join(lines)


def _toml(value: str | int | float | bool) -> str:
    # JSON writes what lies beyond U+FFFF as surrogate pairs, which TOML refuses; TOML wants DEL escaped, JSON does not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def shown(model: type[BaseModel], key: str) -> str:
    """Return a parameter's default as people write it; a dash where there is none."""
    default = model.model_validate({}).model_dump(mode="json")[key]
    return "-" if default is None else str(default).lower() if isinstance(default, bool) else str(default)
