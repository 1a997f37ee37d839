"""The flags of `ioprof report --perfetto`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

TRACE = "A trace for Perfetto"

Perfetto = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.json.gz",
        help="write the run as a trace for ui.perfetto.dev instead: steps, workers, operations",
        rich_help_panel=TRACE,
    ),
]
Merge = Annotated[
    Path | None,
    typer.Option(
        metavar="TRACE.json", help="lay torch's profiler's trace of the same run beside it", rich_help_panel=TRACE
    ),
]
WindowFlag = Annotated[
    str | None,
    typer.Option("--window", metavar="START:END", help="only these seconds of the run", rich_help_panel=TRACE),
]
