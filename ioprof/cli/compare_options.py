"""The flags of `ioprof compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

ByFlag = Annotated[
    Literal["run", "label", "store", "loader", "accelerator"],
    typer.Option("--by", metavar="WHAT", help="what makes a side: run, label, store, loader or accelerator"),
]
Noise = Annotated[
    float, typer.Option("--noise", metavar="PERCENT", min=0.0, max=100.0, help="differences within it have no winner")
]
AtLeast = Annotated[
    float | None,
    typer.Option("--at-least", metavar="RATIO", help="exit 3 unless all give so much of the first's samples/s"),
]
Force = Annotated[
    bool, typer.Option("--force", metavar="", help="compare also what is not alike; the differences are told")
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="write a page too")]
