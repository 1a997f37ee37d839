"""`ioprof`: the commands and their flags. Each body imports what it needs, so that --help stays quick."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from typer.core import TyperCommand

from ioprof.cli.exits import reported

app = typer.Typer(
    name="ioprof",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    help="Profile AI-training data pipelines: how long the accelerator starves, and which part of the path starves it.",
    epilog="Exit codes: 0 ok, 1 failed, 2 usage, 3 a --require was not met, 130 Ctrl-C, 143 SIGTERM.",
)


class _HelpWithParameters(TyperCommand):
    """A command whose --help, behind the name of a workload or a spec file, also lists the flags of that run."""

    _words: Sequence[str] = ()

    def parse_args(self, ctx: object, args: list[str]) -> list[str]:
        """Keep the words: help is printed while they are being parsed, before any has its place."""
        self._words = list(args)
        return super().parse_args(cast("typer.Context", ctx), args)

    def get_help(self, ctx: object) -> str:
        """Print the usual help, then the parameters."""
        text = super().get_help(cast("typer.Context", ctx))
        if self._words and not self._words[0].startswith("-"):
            from ioprof.cli.run import help_command

            print(text, end="")  # nothing where typer has printed it itself
            loader = [("loader", after) for word, after in itertools.pairwise(self._words) if word == "--loader"]
            reported(help_command)(self._words[0], loader)
            return ""
        return text


_ANY_FLAG = {"allow_extra_args": True, "ignore_unknown_options": True}

Target = Annotated[
    str, typer.Argument(metavar="WORKLOAD|FILE.toml", help="a workload of `ioprof list`, or a spec file")
]
Store = Annotated[str | None, typer.Option(help="path or fsspec URL where the dataset lives (default ./ioprof-data)")]
Files = Annotated[str | None, typer.Option(help="number of files, such as 20k or 1M")]
FileSize = Annotated[str | None, typer.Option(help="4KiB, uniform:LOW-HIGH, lognormal:MEAN:CV or a CSV file")]
Loader = Annotated[str | None, typer.Option(help="a loader of `ioprof list`")]
Workers = Annotated[str | None, typer.Option(help="worker processes")]
Prefetch = Annotated[str | None, typer.Option(help="batches each worker may be ahead")]
BatchSize = Annotated[str | None, typer.Option(help="samples per batch")]
Seed = Annotated[str | None, typer.Option(help="decides content, sizes and order")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="set any key of the spec; applied last")
]
SuiteSet = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="[ENTRY.]SECTION.KEY=VALUE", help="set a key of every entry, or of one; applied last"
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="no progress on stderr")]
Json = Annotated[bool, typer.Option("--json", help="print JSON on stdout")]


def _use_plugins(paths: list[Path] | None) -> list[Path] | None:
    """Make the files' workloads and loaders known while the words are parsed: --help shows them then, too."""
    if paths:
        from ioprof.cli.plugin import use_plugins

        reported(use_plugins)(paths)
    return paths


Plugin = Annotated[
    list[Path] | None,
    typer.Option(
        "--plugin",
        metavar="FILE.py",
        help="a file that defines workloads or loaders",
        callback=_use_plugins,
        is_eager=True,
    ),
]
Results = Annotated[str | None, typer.Option(help="folder of run directories (default ./results)")]


@app.callback(invoke_without_command=True)
def _ioprof(version: Annotated[bool, typer.Option("--version", help="print the version")] = False) -> None:
    if version:
        from ioprof import __version__

        print(f"ioprof {__version__}")
        raise typer.Exit


@app.command(context_settings=_ANY_FLAG, cls=_HelpWithParameters)
def run(
    ctx: typer.Context,
    target: Target,
    store: Store = None,
    files: Files = None,
    file_size: FileSize = None,
    loader: Loader = None,
    workers: Workers = None,
    prefetch: Prefetch = None,
    batch_size: BatchSize = None,
    accelerator: Annotated[str | None, typer.Option(help="an accelerator of `ioprof list`, or none")] = None,
    compute: Annotated[str | None, typer.Option(help="busy time per batch, such as 20ms")] = None,
    epochs: Annotated[str | None, typer.Option(help="passes over the dataset")] = None,
    duration: Annotated[str | None, typer.Option(help="stop after this time, such as 30s")] = None,
    cache: Annotated[str | None, typer.Option(help="page cache: cold, warm or asis")] = None,
    seed: Seed = None,
    max_errors: Annotated[str | None, typer.Option(help="failed samples the run may lose")] = None,
    results: Results = None,
    label: Annotated[str | None, typer.Option(help="added to the run directory's name")] = None,
    require: Annotated[list[str] | None, typer.Option(help="exit 3 unless met, such as 'au>=0.9'")] = None,
    set_: Set = None,
    plugin: Plugin = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the resolved spec and stop")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Prepare the dataset if needed, drive the loader, analyse, report.

    Parameters of workload and loader are flags too: `ioprof run small-files --help` lists all, with their ranges.
    """
    from ioprof.cli.run import run_command

    flags = _given(ctx, "store", "files", "file_size", "loader", "workers", "prefetch", "batch_size", "accelerator",
                   "compute", "epochs", "duration", "cache", "seed", "max_errors", "results", "label")  # fmt: skip
    reported(run_command)(
        target, flags, set_ or [], ctx.args, require=require or [], dry_run=dry_run, as_json=as_json, quiet=quiet
    )


@app.command(context_settings=_ANY_FLAG)
def prepare(
    ctx: typer.Context,
    target: Target,
    store: Store = None,
    files: Files = None,
    file_size: FileSize = None,
    seed: Seed = None,
    verify: Annotated[bool, typer.Option("--verify", help="re-read every object and check its content")] = False,
    set_: Set = None,
    plugin: Plugin = None,
    quiet: Quiet = False,
) -> None:
    """Only make the dataset on the store; an interrupted preparation goes on where it stopped."""
    from ioprof.cli.run import prepare_command

    flags = _given(ctx, "store", "files", "file_size", "seed")
    reported(prepare_command)(target, flags, set_ or [], ctx.args, verify=verify, quiet=quiet)


@app.command()
def clean(
    url: Annotated[str, typer.Argument(help="store to clean: path or fsspec URL")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="do not ask")] = False,
) -> None:
    """Remove the datasets that ioprof made on a store, and nothing else."""
    from ioprof.cli.run import clean_command

    reported(clean_command)(url, assume_yes=yes)


@app.command()
def suite(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="NAME|FILE.toml", help="a suite of `ioprof list`, or a file with one of your own")
    ],
    store: Store = None,
    results: Results = None,
    label: Annotated[str | None, typer.Option(help="added to the suite directory's name")] = None,
    set_: SuiteSet = None,
    plugin: Plugin = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a named list of workloads on one store, one after another, and show one table.

    Every run has its own run directory below the suite's; one that fails does not keep the others from running.
    """
    from ioprof.cli.suite import suite_command

    flags = _given(ctx, "store", "results", "label")
    reported(suite_command)(target, flags, set_ or [], as_json=as_json, quiet=quiet)


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="the directory of a run, a mixed run or a suite")],
    as_json: Json = False,
) -> None:
    """Analyse a run directory again and report it; works on interrupted and killed runs too."""
    from ioprof.cli.run import report_command

    reported(report_command)(directory, as_json=as_json)


@app.command("list")
def list_(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="a workload, loader or accelerator, to see its parameters")
    ] = None,
    results: Results = None,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Show workloads, loaders, accelerators and past runs; or all about one of them."""
    from ioprof.cli.listing import list_command

    reported(list_command)(name, Path(results or "./results"), as_json=as_json)


@app.command(context_settings=_ANY_FLAG)
def doctor(
    ctx: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(metavar="[WORKLOAD|FILE.toml]", help="the run to judge by: its dataset, workers and batches"),
    ] = None,
    store: Store = None,
    files: Files = None,
    file_size: FileSize = None,
    loader: Loader = None,
    workers: Workers = None,
    prefetch: Prefetch = None,
    batch_size: BatchSize = None,
    seed: Seed = None,
    set_: Set = None,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Show what would spoil a measurement on this machine and store; with a workload, of that very run.

    Nothing is prepared; a small trial object is written at the store and removed. Exit code 1 if there is a problem.
    """
    from ioprof.cli.run import doctor_command

    flags = _given(ctx, "store", "files", "file_size", "loader", "workers", "prefetch", "batch_size", "seed")
    reported(doctor_command)(target, flags, set_ or [], ctx.args, as_json=as_json)


def _given(ctx: typer.Context, *names: str) -> list[tuple[str, str]]:
    return [(name.replace("_", "-"), ctx.params[name]) for name in names if ctx.params.get(name) is not None]


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
