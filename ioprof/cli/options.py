"""The flags and arguments that several commands have in common, and how --help groups them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ioprof.cli.exits import reported

DATA = "The dataset"
LOADER = "The loader"
LENGTH = "What waits for the data, and for how long"
RESULT = "The result"
MORE = "More"


def use_plugins(paths: list[Path] | None) -> list[Path] | None:
    """Make the files' workloads and loaders known while the words are parsed: --help shows them then, too."""
    if paths:
        from ioprof.cli import plugin

        reported(plugin.use_plugins)(paths)
    return paths


Target = Annotated[
    str,
    typer.Argument(
        metavar="WORKLOAD|FILE.toml",
        show_default=False,
        help="a workload of `ioprof list`, a spec file, or dlio:CONFIG.yaml",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(metavar="URL", help="path or fsspec URL (default ./ioprof-data)", rich_help_panel=DATA),
]
Files = Annotated[
    str | None, typer.Option(metavar="N", help="number of files, such as 20k or 1M", rich_help_panel=DATA)
]
FileSize = Annotated[
    str | None,
    typer.Option(metavar="SIZE", help="4KiB, uniform:LOW-HIGH, lognormal:MEAN:CV or a CSV file", rich_help_panel=DATA),
]
Loader = Annotated[str | None, typer.Option(metavar="NAME", help="a loader of `ioprof list`", rich_help_panel=LOADER)]
Workers = Annotated[str | None, typer.Option(metavar="N", help="worker processes", rich_help_panel=LOADER)]
Prefetch = Annotated[
    str | None, typer.Option(metavar="N", help="batches each worker may be ahead", rich_help_panel=LOADER)
]
BatchSize = Annotated[str | None, typer.Option(metavar="N", help="samples per batch", rich_help_panel=LOADER)]
Accelerator = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="an accelerator of `ioprof list`, or none", rich_help_panel=LENGTH),
]
Compute = Annotated[
    str | None, typer.Option(metavar="TIME", help="busy time per batch, such as 20ms", rich_help_panel=LENGTH)
]
Duration = Annotated[
    str | None, typer.Option(metavar="TIME", help="stop after this time, such as 30s", rich_help_panel=LENGTH)
]
Epochs = Annotated[str | None, typer.Option(metavar="N", help="passes over the dataset", rich_help_panel=LENGTH)]
Cache = Annotated[
    str | None,
    typer.Option(metavar="STATE", help="page cache: cold (default), warm or asis", rich_help_panel=LENGTH),
]
Results = Annotated[
    str | None,
    typer.Option(metavar="FOLDER", help="where run directories go (default ./results)", rich_help_panel=RESULT),
]
Label = Annotated[
    str | None, typer.Option(metavar="TEXT", help="added to the directory's name", rich_help_panel=RESULT)
]
Require = Annotated[
    list[str] | None,
    typer.Option(metavar="TEST", help="exit 3 unless met, such as 'au>=0.9'", rich_help_panel=RESULT),
]
Metrics = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|:PORT",
        help="figures for Prometheus while it runs; a port is served on 127.0.0.1 unless HOST:PORT is given",
        rich_help_panel=RESULT,
    ),
]
Json = Annotated[bool, typer.Option("--json", metavar="", help="print JSON on stdout", rich_help_panel=RESULT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", metavar="", help="no progress on stderr", rich_help_panel=RESULT)]
NoProbe = Annotated[
    bool,
    typer.Option(
        "--no-probe",
        metavar="",
        help="do not measure the store's ceiling and the loader's baselines after the steps",
        rich_help_panel=LENGTH,
    ),
]
ProbeDuration = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="time for all levels together (default 20s)", rich_help_panel=LENGTH),
]
TuneDuration = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="length of each run (default 5s)", rich_help_panel=LENGTH),
]
Budget = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="time for all runs together (default 2min)", rich_help_panel=LENGTH),
]
MaxWorkers = Annotated[
    int | None,
    typer.Option(
        min=0,
        max=1024,
        metavar="N",
        help="most workers to think of (default 8 per CPU, 32 to 128)",
        rich_help_panel=LOADER,
    ),
]
MostProcesses = Annotated[
    int | None,
    typer.Option(
        min=1, max=4096, metavar="N", help="most processes that read at once (default 128)", rich_help_panel=LENGTH
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", metavar="", help="print the resolved spec as TOML and stop", rich_help_panel=MORE),
]
Seed = Annotated[str | None, typer.Option(metavar="N", help="decides content, sizes and order", rich_help_panel=MORE)]
MaxErrors = Annotated[
    str | None, typer.Option(metavar="N", help="failed samples the run may lose (default 100)", rich_help_panel=MORE)
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="SECTION.KEY=VALUE", help="set any key of the spec; applied last", rich_help_panel=MORE
    ),
]
SuiteSet = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="[ENTRY.]SECTION.KEY=VALUE",
        help="set a key of every entry, or of one; applied last",
        rich_help_panel=MORE,
    ),
]
Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        help="a file that defines workloads or loaders",
        callback=use_plugins,
        is_eager=True,
        rich_help_panel=MORE,
    ),
]
