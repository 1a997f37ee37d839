"""`ioprof list`: what can be run here, with what, and what was run before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType

from pydantic import BaseModel
from rich.markup import escape
from rich.table import Table

from ioprof.accelerator.table import ACCELERATORS, AcceleratorSpec
from ioprof.cli.console import results as stdout
from ioprof.cli.mixed import print_mixed_help
from ioprof.cli.report import past_runs, past_runs_table
from ioprof.compound.mixed_spec import SUMMARY as MIXED_SUMMARY
from ioprof.compound.suite_lists import SUITES
from ioprof.contract import Loader, Workload
from ioprof.errors import PluginError, nearest
from ioprof.plugins import MIXED, Listed, find_loader, find_workload, list_loaders, list_workloads
from ioprof.spec.model import AcceleratorSection, CheckpointSection, LoaderSection, RunSection
from ioprof.spec.render import allowed, shown
from ioprof.spec.resolve import named_loader, named_workload
from ioprof.spec.sources import RawSpec
from ioprof.units import format_duration, format_rate_bytes

_MOST_DEFAULT = 20
"""Columns that a default gets at least, where it is so long."""
_MIXED = Listed(name=MIXED, summary=MIXED_SUMMARY, provider="ioprof", missing=None)


def list_command(name: str | None, results: Path, *, as_json: bool) -> int:
    """List everything, or the parameters of one plug-in."""
    if name is not None and name.lower() in ACCELERATORS:
        return _accelerator(ACCELERATORS[name.lower()], as_json=as_json)
    if name == MIXED and not as_json:
        print_mixed_help(MIXED)
        return 0
    if name in SUITES and not as_json:
        stdout().print(_suites())
        return 0
    if name is not None:
        return _parameters(name, as_json=as_json)
    if as_json:
        print(json.dumps(_everything(results), indent=2))
        return 0
    console = stdout()
    for table in (
        _plugins("workloads (ioprof run NAME)", [*list_workloads(), _MIXED]),
        _plugins("loaders (ioprof run WORKLOAD --loader NAME)", list_loaders()),
        _suites(),
        _accelerators(),
        past_runs_table(past_runs(results), results),
    ):
        console.print(table)
        console.print()
    return 0


def _plugins(title: str, listed: list[Listed]) -> Table:
    table = _table(title, "name", "what it is")
    for one in listed:
        what = [one.summary] if one.summary else []
        if one.capabilities is not None:
            what.append(f"[dim]{one.capabilities}[/dim]")
        if one.missing is not None:
            what.append(f"[yellow]{escape(one.missing)}[/yellow]")
        table.add_row(one.name, "\n".join(what))
    return table


def _suites() -> Table:
    table = _table("suites (ioprof suite NAME)", "name", "what it is", "workloads")
    for name, suite in SUITES.items():
        table.add_row(name, suite.summary, ", ".join(entry.workload for entry in suite.entries))
    return table


def _accelerators() -> Table:
    table = _table(
        "accelerators (ioprof list NAME shows where each number comes from)",
        "name",
        "host link",
        "step time per sample",
    )
    table.add_row("none", "", "no utilisation, rates only")
    for spec in ACCELERATORS.values():
        steps = [
            f"{model} {format_duration(step.ns_per_sample)}{' (estimate)' if step.is_estimate else ''}"
            for model, step in spec.step_ns_per_sample.items()
        ]
        table.add_row(spec.name, _link(spec), ", ".join(steps))
    return table


def _link(spec: AcceleratorSpec) -> str:
    return format_rate_bytes(spec.h2d_bytes_per_s) if spec.h2d_bytes_per_s else "unknown"


def _accelerator(spec: AcceleratorSpec, *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(_accelerator_json(spec), indent=2))
        return 0
    table = _table(f"{spec.name}: {spec.title}", "what", "value", "source")
    table.add_row("host link, one way", _link(spec), spec.h2d_source or "")
    for model, step in spec.step_ns_per_sample.items():
        mark = "estimate: " if step.is_estimate else ""
        table.add_row(f"{model}, per sample", format_duration(step.ns_per_sample), f"{mark}{step.source}")
    stdout().print(table)
    return 0


def _accelerator_json(spec: AcceleratorSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "h2d_bytes_per_s": spec.h2d_bytes_per_s,
        "step_ns_per_sample": {
            model: {"ns": step.ns_per_sample, "source": step.source, "is_estimate": step.is_estimate}
            for model, step in spec.step_ns_per_sample.items()
        },
    }


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, header_style="dim")
    return table


def _parameters(name: str, *, as_json: bool) -> int:
    plugin = _plugin(name)
    rows = _rows(plugin.Params)
    wishes = getattr(plugin, "defaults", {})
    if "checkpoint.every" in wishes:
        rows += _rows(CheckpointSection, "checkpoint", wishes)
    if as_json:
        print(json.dumps({"name": name, "parameters": rows}, indent=2))
    else:
        stdout().print(_parameter_table(f"{name}: parameters", rows))
    return 0


def print_run_parameters(raw: RawSpec) -> None:
    """Print every flag that the run of a spec takes, with its default and what it may be."""
    (workload_name, workload), (loader_name, loader) = named_workload(raw), named_loader(raw)
    console, wishes = stdout(), workload.defaults
    common = [
        *_rows(LoaderSection, "loader", wishes),
        *_rows(AcceleratorSection, "accelerator", wishes),
        *_rows(RunSection, "run", wishes),
    ]
    for title, rows in (
        (f"{workload_name}: its own flags", _rows(workload.Params)),
        (f"{loader_name}: its own flags", _rows(loader.Params, "loader", wishes)),
        ("flags of every run", common),
        ("checkpoints, of every run", _rows(CheckpointSection, "checkpoint", wishes)),
    ):
        if rows:
            console.print(_parameter_table(title, rows))
            console.print()


def _rows(
    model: type[BaseModel], section: str = "", wishes: Mapping[str, object] = MappingProxyType({})
) -> list[dict[str, str]]:
    """Return a row for each parameter; a workload's own wish takes the place of a default."""
    return [
        {
            "flag": _flag(section, key),
            "default": str(wishes.get(f"{section}.{key}", shown(model, key))),
            "range": allowed(model, key),
            "meaning": field.description or "",
        }
        for key, field in model.model_fields.items()
    ]


def _flag(section: str, key: str) -> str:
    if (section, key) == ("accelerator", "name"):
        return "--accelerator"
    return f"--{'checkpoint-' if section == 'checkpoint' else ''}{key.replace('_', '-')}"


def _parameter_table(title: str, rows: list[dict[str, str]]) -> Table:
    table = _table(title, "flag", "default", "may be", "meaning")
    flag, default = table.columns[0], table.columns[1]
    # A flag and what to type behind it are never cut off; only defaults too long for their column are folded.
    flag.no_wrap, default.overflow, table.columns[-1].overflow = True, "fold", "fold"
    default.min_width = min(_MOST_DEFAULT, max((len(row["default"]) for row in rows), default=0))
    for row in rows:
        table.add_row(row["flag"], row["default"], row["range"], row["meaning"])
    return table


def _plugin(name: str) -> type[Workload] | type[Loader]:
    workloads = [one.name for one in list_workloads()]
    loaders = [one.name for one in list_loaders()]
    if name in workloads:
        return find_workload(name)
    if name in loaders:
        return find_loader(name)
    known = [*workloads, MIXED, *loaders, *ACCELERATORS, *SUITES]
    raise PluginError(f"nothing here is called '{name}'{nearest(name, known) or '; known: ' + ', '.join(known)}")


def _everything(results: Path) -> dict[str, list[dict[str, object]]]:
    return {
        "workloads": [_plain(one) for one in [*list_workloads(), _MIXED]],
        "loaders": [_plain(one) for one in list_loaders()],
        "suites": [
            {"name": name, "summary": suite.summary, "workloads": [entry.workload for entry in suite.entries]}
            for name, suite in SUITES.items()
        ],
        "accelerators": [_accelerator_json(spec) for spec in ACCELERATORS.values()],
        "runs": [run.as_json() for run in past_runs(results)],
    }


def _plain(one: Listed) -> dict[str, object]:
    plain: dict[str, object] = {
        "name": one.name,
        "summary": one.summary,
        "provider": one.provider,
        "missing": one.missing,
    }
    if (able := one.capabilities) is not None:
        plain["capabilities"] = asdict(able) | {"formats": sorted(able.formats)}
    return plain
