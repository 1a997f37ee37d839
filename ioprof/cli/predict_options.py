"""The flags of `ioprof predict`, and how --help groups them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ioprof.cli.options import LOADER, MORE

STORE = "The store"
WORLD = "The hosts"

Workers = Annotated[
    int | None, typer.Option(min=0, metavar="N", help="worker processes of each rank", rich_help_panel=LOADER)
]
Prefetch = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="batches each worker may be ahead", rich_help_panel=LOADER)
]
BatchSize = Annotated[int | None, typer.Option(min=1, metavar="N", help="samples per batch", rich_help_panel=LOADER)]
InOrder = Annotated[
    str | None,
    typer.Option(metavar="true|false", help="deliver batches as they were asked for", rich_help_panel=LOADER),
]
Pin = Annotated[
    str | None, typer.Option(metavar="true|false", help="copy batches into page-locked memory", rich_help_panel=LOADER)
]
Stages = Annotated[
    list[str] | None,
    typer.Option(metavar="STAGE=xF", help="scale a stage, such as decode=x0.5; repeatable", rich_help_panel=LOADER),
]
StoreLatency = Annotated[
    str | None,
    typer.Option(metavar="xF", help="what a lone operation takes, such as x0.5", rich_help_panel=STORE),
]
StoreBandwidth = Annotated[
    str | None, typer.Option(metavar="xF", help="the most bytes per second, such as x2", rich_help_panel=STORE)
]
StoreIops = Annotated[
    str | None, typer.Option(metavar="xF", help="the most operations per second, such as x2", rich_help_panel=STORE)
]
HitRatio = Annotated[
    float | None,
    typer.Option(min=0.0, max=1.0, metavar="R", help="share that the page cache serves", rich_help_panel=STORE),
]
Cores = Annotated[
    float | None, typer.Option(metavar="N", help="CPUs of each host that the run may use", rich_help_panel=WORLD)
]
CpuSpeed = Annotated[
    str | None, typer.Option(metavar="xF", help="speed of each CPU, such as x1.2", rich_help_panel=WORLD)
]
Ranks = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="accelerators, on all hosts together", rich_help_panel=WORLD)
]
Hosts = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="hosts that share the store", rich_help_panel=WORLD)
]
Also = Annotated[
    list[Path] | None,
    typer.Option(metavar="RUN", help="another run of the same workload, to learn from both", rich_help_panel=MORE),
]
