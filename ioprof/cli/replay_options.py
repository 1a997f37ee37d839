"""The flags of `ioprof replay`."""

from __future__ import annotations

from typing import Annotated

import typer

from ioprof.cli.options import DATA, LENGTH, LOADER, MORE

PaceFlag = Annotated[
    str,
    typer.Option(
        metavar="PACE",
        help="closed: with each worker's recorded pauses; open: at the recorded times; fastest: no pauses",
        rich_help_panel=LENGTH,
    ),
]
Anonymise = Annotated[
    bool,
    typer.Option(
        "--anonymise",
        metavar="",
        help="hash all names; depth, fan-out and lengths stay. IOPROF_ANONYMISE_KEY gives the key, to hash alike again",
        rich_help_panel=DATA,
    ),
]
Fill = Annotated[
    bool,
    typer.Option(
        "--fill",
        metavar="",
        help="where only 1 in N batches was traced in full, let the others repeat these",
        rich_help_panel=DATA,
    ),
]
CacheFlag = Annotated[
    str | None,
    typer.Option(
        metavar="STATE", help="page cache: cold, warm or asis (default: as the run asked for)", rich_help_panel=LENGTH
    ),
]
StartMethodFlag = Annotated[
    str, typer.Option(metavar="METHOD", help="of the processes: fork, forkserver or spawn", rich_help_panel=LOADER)
]
DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", metavar="", help="say what would be written and repeated, and stop", rich_help_panel=MORE
    ),
]
