"""The tables of docs/run-directory.md, made from the schemas and records themselves.

python -m tests.docs.tables      write them anew
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from ioprof.trace.kinds import Kind, Phase
from ioprof.trace.schema import OBJECTS, TABLES

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "run-directory.md"
BEGIN, END = "<!-- made by python -m tests.docs.tables -->", "<!-- end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Classes of a module that make up a JSON file, and how the page calls them."""

    title: str
    module: str
    first: str
    """The class that is the whole file; it is told first."""


JSON_FILES = (
    Records(title="summary.json", module="ioprof/analysis/summary.py", first="Summary"),
    Records(title="run.json", module="ioprof/trace/run_record.py", first="RunRecord"),
    Records(title="probe.json", module="ioprof/trace/probe_record.py", first="ProbeRecord"),
)


def made() -> str:
    """Return all tables as Markdown, without the lines that stand around them."""
    parts = [part for name, schema in _schemas() for part in _columns(name, schema)]
    parts += [*_numbers("kind", {one.value: one.label for one in Kind})]
    parts += [*_numbers("phase", {one.value: one.label for one in Phase})]
    for records in JSON_FILES:
        parts += _keys(records)
    return "\n".join(parts)


def _schemas() -> Iterator[tuple[str, pa.Schema]]:
    yield from TABLES.items()
    yield "objects", OBJECTS


def _columns(name: str, schema: pa.Schema) -> Iterator[str]:
    yield from (f"### {name}.parquet", "", "| column | type | unit | meaning |", "|---|---|---|---|")
    for field in schema:
        facts = {key.decode(): value.decode() for key, value in field.metadata.items()}
        kind = str(field.type).split("<values=", maxsplit=1)[0].replace("dictionary", "string, dictionary")
        yield f"| `{field.name}` | {kind} | {facts['unit']} | {_cell(facts['meaning'])} |"
    yield ""


def _numbers(name: str, labels: dict[int, str]) -> Iterator[str]:
    yield f"`{name}` is one of " + ", ".join(f"{number} {label}" for number, label in labels.items()) + "."
    yield ""


def _keys(records: Records) -> Iterator[str]:
    classes = {
        node.name: node
        for node in ast.parse((ROOT / records.module).read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }
    yield from (f"### {records.title}", "")
    for name in sorted(classes, key=lambda one: one != records.first):
        if name != records.first:
            yield from (f"**{name}**: {_one_line(ast.get_docstring(classes[name]) or '')}", "")
        yield from ("| key | type | meaning |", "|---|---|---|")
        for key, kind, told in _fields(classes[name]):
            yield f"| `{key}` | {_cell(kind)} | {_cell(told)} |"
        yield ""


def _fields(found: ast.ClassDef) -> Iterator[tuple[str, str, str]]:
    following = [*found.body[1:], None]
    for node, after in zip(found.body, following, strict=True):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            told = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else ""
            yield node.target.id, ast.unparse(node.annotation), _one_line(str(told))


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write the page's tables anew."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{made()}\n{END}{after}")


if __name__ == "__main__":
    main()
