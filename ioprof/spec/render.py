"""A resolved spec as the TOML file that would give it again."""

from __future__ import annotations

import json
from types import UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from ioprof import plugin_files
from ioprof.spec.model import RunSpec
from ioprof.spec.sources import PLUGIN_KEY
from ioprof.units import exact_count


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


def plugin_lines() -> str:
    """Return the line that names the plug-in files in use, for the top of a spec file; nothing where there are none."""
    paths = [str(path) for path in plugin_files.files()]
    return f"{PLUGIN_KEY} = {json.dumps(paths, ensure_ascii=False)}\n\n" if paths else ""


def _toml(value: str | int | float | bool) -> str:
    # JSON writes what lies beyond U+FFFF as surrogate pairs, which TOML refuses; TOML wants DEL escaped, JSON does not.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def shown(model: type[BaseModel], key: str) -> str:
    """Return a parameter's default as people write it; a dash where there is none."""
    default = model.model_validate({}).model_dump(mode="json")[key]
    return "-" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def allowed(model: type[BaseModel], key: str) -> str:
    """Return what a parameter may be, as people write it: ``1 to 1M``, ``cold, warm or asis``; empty: any text."""
    field = model.model_fields[key]
    kind, bounding = _without_none(field.annotation), list(field.metadata)
    if get_origin(kind) is Annotated:
        bounding += [bound for one in get_args(kind)[1:] for bound in getattr(one, "metadata", ())]
    if kind is bool or get_origin(kind) is Literal:
        names = ["true", "false"] if kind is bool else [str(one) for one in get_args(kind)]
        return f"{', '.join(names[:-1])} or {names[-1]}"
    bounds = {
        name: _bound(model, key, getattr(one, name), excluded=name == "lt")
        for one in bounding
        for name in ("ge", "gt", "le", "lt")
        if getattr(one, name, None) is not None
    }
    low = bounds.get("ge") or (f"more than {bounds['gt']}" if "gt" in bounds else "")
    high = bounds.get("le") or bounds.get("lt", "")
    if low and high:
        return f"{low} to {high}{_words_instead(field.annotation)}"
    return f"{low} and up" if low else f"up to {high}" if high else ""


def _words_instead(annotation: object) -> str:
    """Return the words that may stand in place of a number: `` or auto``; nothing where there are none."""
    kinds = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else ()
    return "".join(f" or {word}" for kind in kinds if get_origin(kind) is Literal for word in get_args(kind))


def _without_none(annotation: object) -> object:
    if get_origin(annotation) not in (Union, UnionType):
        return annotation
    return next(one for one in get_args(annotation) if one is not type(None))


def _bound(model: type[BaseModel], key: str, bound: int | float, *, excluded: bool) -> str:
    """Return a limit in the field's own unit: the model writes it as it writes values."""
    if excluded:
        power = isinstance(bound, int) and bound > 1024 and bound & (bound - 1) == 0
        return f"2^{bound.bit_length() - 1} - 1" if isinstance(bound, int) and power else f"below {bound}"
    written = model.model_construct(None, **{key: bound}).model_dump(mode="json", include={key})[key]
    if isinstance(written, int):
        return exact_count(written)
    return f"{written:g}" if isinstance(written, float) else str(written)
