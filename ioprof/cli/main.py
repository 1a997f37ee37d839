"""`ioprof`: the commands and their flags. Each body imports what it needs, so that --help stays quick."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, cast

import typer
from typer.core import TyperCommand

from ioprof.cli import compare_options as comparing
from ioprof.cli import perfetto_options as drawing
from ioprof.cli import predict_options as predicting
from ioprof.cli import replay_options as replaying
from ioprof.cli.exits import reported, usage_errors_as_ours
from ioprof.cli.options import (
    Accelerator,
    BatchSize,
    Budget,
    Cache,
    Compute,
    DryRun,
    Duration,
    Epochs,
    Files,
    FileSize,
    Json,
    Label,
    Loader,
    MaxErrors,
    MaxWorkers,
    Metrics,
    MostProcesses,
    NoProbe,
    Plugin,
    Prefetch,
    ProbeDuration,
    Quiet,
    Require,
    Results,
    Seed,
    Set,
    Store,
    SuiteSet,
    Target,
    TuneDuration,
    Workers,
)

app = typer.Typer(
    name="ioprof",
    context_settings={"help_option_names": ["-h", "--help"]},
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


@app.callback(invoke_without_command=True)
def _ioprof(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", metavar="", help="print the version")] = False,
) -> None:
    if version:
        from ioprof import __version__

        print(f"ioprof {__version__}")
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        print(ctx.get_help(), end="")
        raise typer.Exit(2)


@app.command(context_settings=_ANY_FLAG, cls=_HelpWithParameters)
def run(
    ctx: typer.Context,
    target: Target,
    store: Store = None,
    files: Files = None,
    file_size: FileSize = None,
    loader: Loader = None,
    workers: Workers = None,
    batch_size: BatchSize = None,
    prefetch: Prefetch = None,
    accelerator: Accelerator = None,
    compute: Compute = None,
    duration: Duration = None,
    epochs: Epochs = None,
    cache: Cache = None,
    results: Results = None,
    label: Label = None,
    require: Require = None,
    no_probe: NoProbe = False,
    metrics: Metrics = None,
    as_json: Json = False,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    set_: Set = None,
    plugin: Plugin = None,
    seed: Seed = None,
    max_errors: MaxErrors = None,
) -> None:
    """Prepare the dataset if needed, drive the loader, analyse, report.

    Parameters of workload and loader are flags too: `ioprof run small-files --help` lists all, with their ranges.
    """
    from ioprof.cli.run import run_command

    flags = _given(ctx, "store", "files", "file_size", "loader", "workers", "prefetch", "batch_size", "accelerator",
                   "compute", "epochs", "duration", "cache", "seed", "max_errors", "results", "label")  # fmt: skip
    if no_probe:
        flags.append(("probe", "false"))
    reported(run_command)(
        target, flags, set_ or [], ctx.args, require=require or [], dry_run=dry_run, as_json=as_json, quiet=quiet,
        metrics=metrics,
    )  # fmt: skip


@app.command(context_settings=_ANY_FLAG)
def prepare(
    ctx: typer.Context,
    target: Target,
    store: Store = None,
    files: Files = None,
    file_size: FileSize = None,
    seed: Seed = None,
    verify: Annotated[
        bool, typer.Option("--verify", metavar="", help="re-read every object and check its content")
    ] = False,
    set_: Set = None,
    plugin: Plugin = None,
    quiet: Quiet = False,
) -> None:
    """Make the dataset only; a preparation that was stopped goes on."""
    from ioprof.cli.run import prepare_command

    flags = _given(ctx, "store", "files", "file_size", "seed")
    reported(prepare_command)(target, flags, set_ or [], ctx.args, verify=verify, quiet=quiet)


@app.command(context_settings=_ANY_FLAG)
def probe(
    ctx: typer.Context,
    target: Target,
    store: Store = None,
    files: Files = None,
    file_size: FileSize = None,
    cache: Cache = None,
    duration: ProbeDuration = None,
    processes: MostProcesses = None,
    results: Results = None,
    label: Label = None,
    as_json: Json = False,
    quiet: Quiet = False,
    set_: Set = None,
    plugin: Plugin = None,
    seed: Seed = None,
) -> None:
    """Measure the store's ceiling: the workload's own reads without a loader, with ever more processes."""
    from ioprof.cli.probe import probe_command

    flags = _given(ctx, "store", "files", "file_size", "cache", "duration", "seed", "results", "label")
    reported(probe_command)(target, flags, set_ or [], ctx.args, processes=processes, as_json=as_json, quiet=quiet)


@app.command(context_settings=_ANY_FLAG)
def tune(
    ctx: typer.Context,
    target: Target,
    store: Store = None,
    files: Files = None,
    file_size: FileSize = None,
    loader: Loader = None,
    workers: Workers = None,
    batch_size: BatchSize = None,
    prefetch: Prefetch = None,
    max_workers: MaxWorkers = None,
    accelerator: Accelerator = None,
    compute: Compute = None,
    duration: TuneDuration = None,
    budget: Budget = None,
    require: Require = None,
    cache: Cache = None,
    results: Results = None,
    label: Label = None,
    as_json: Json = False,
    quiet: Quiet = False,
    dry_run: DryRun = False,
    set_: Set = None,
    plugin: Plugin = None,
    seed: Seed = None,
) -> None:
    """Find the fewest workers, and the least prefetch, that feed: within 2 % of the best.

    Measures a few settings, predicts the rest, and verifies the winner by a real run. --workers or --prefetch fixes one
    and tunes the other.
    """
    from ioprof.cli.tune import tune_command

    flags = _given(ctx, "store", "files", "file_size", "loader", "workers", "prefetch", "batch_size", "accelerator",
                   "compute", "duration", "cache", "seed", "results", "label")  # fmt: skip
    reported(tune_command)(
        target, flags, set_ or [], ctx.args, most_workers=max_workers, budget=budget, require=require or [],
        dry_run=dry_run, as_json=as_json, quiet=quiet,
    )  # fmt: skip


@app.command()
def suite(
    ctx: typer.Context,
    target: Annotated[
        str, typer.Argument(metavar="NAME|FILE.toml", help="a suite of `ioprof list`, or a file with one of your own")
    ],
    store: Store = None,
    results: Results = None,
    label: Label = None,
    set_: SuiteSet = None,
    plugin: Plugin = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a list of workloads on one store, one after another.

    The result is one table. Every run has its own run directory below the suite's; one that fails does not
    keep the others from running.
    """
    from ioprof.cli.suite import suite_command

    flags = _given(ctx, "store", "results", "label")
    reported(suite_command)(target, flags, set_ or [], as_json=as_json, quiet=quiet)


@app.command()
def report(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="the directory of a run, a mixed run or a suite")],
    as_json: Json = False,
    html: Annotated[
        bool, typer.Option("--html", metavar="", help="write the page report.html into the run's folder")
    ] = False,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="with --html: write it there")] = None,
    perfetto: drawing.Perfetto = None,
    merge: drawing.Merge = None,
    window: drawing.WindowFlag = None,
) -> None:
    """Report a run again, also one that was interrupted or killed."""
    if perfetto is not None or merge is not None or window is not None:
        from ioprof.cli.perfetto import perfetto_command

        reported(perfetto_command)(directory, perfetto, merge=merge, window=window, as_json=as_json)
        return
    from ioprof.cli.run import html_command, report_command

    if html or output is not None:
        reported(html_command)(directory, output)
    else:
        reported(report_command)(directory, as_json=as_json)


@app.command()
def index(
    directory: Annotated[Path, typer.Argument(metavar="FOLDER", help="a folder of run directories")] = Path("results"),
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="default: FOLDER/index.html")] = None,
) -> None:
    """Write a page over run directories: filter, sort, pick some to compare."""
    from ioprof.cli.run import index_command

    reported(index_command)(directory, output)


@app.command()
def compare(
    directories: Annotated[list[Path], typer.Argument(metavar="RUN RUN...", help="directories of finished runs")],
    by: comparing.ByFlag = "run",
    noise: comparing.Noise = 2.0,
    at_least: comparing.AtLeast = None,
    force: comparing.Force = False,
    html: comparing.Html = None,
    as_json: Json = False,
) -> None:
    """Hold runs against the first one: ratios with intervals, and which is faster where these show it.

    Runs that differ in dataset, cache state, host, versions or accelerator are refused: their ratio is not the store's.
    """
    from ioprof.cli.compare import compare_command
    from ioprof.cli.console import results as stdout

    reported(compare_command)(
        directories, console=stdout(), by=by, force=force, noise_percent=noise, at_least=at_least, html=html,
        as_json=as_json,
    )  # fmt: skip


@app.command()
def predict(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="the directory of a finished run")],
    workers: predicting.Workers = None,
    prefetch: predicting.Prefetch = None,
    batch_size: predicting.BatchSize = None,
    in_order: predicting.InOrder = None,
    pin: predicting.Pin = None,
    stage: predicting.Stages = None,
    store_latency: predicting.StoreLatency = None,
    store_bandwidth: predicting.StoreBandwidth = None,
    store_iops: predicting.StoreIops = None,
    hit_ratio: predicting.HitRatio = None,
    accelerator: Accelerator = None,
    compute: Compute = None,
    cores: predicting.Cores = None,
    cpu_speed: predicting.CpuSpeed = None,
    ranks: predicting.Ranks = None,
    hosts: predicting.Hosts = None,
    also: predicting.Also = None,
    as_json: Json = False,
) -> None:
    """Say what a finished run would have delivered with other settings, another store or another accelerator.

    Its batches are played through a model of the pipeline again; nothing is run. What is not given stays as it was.
    """
    from ioprof.cli.predict import Asked, predict_command

    asked = Asked(
        workers=workers, prefetch=prefetch, batch_size=batch_size, in_order=in_order, pin=pin, stages=stage or [],
        store_latency=store_latency, store_bandwidth=store_bandwidth, store_iops=store_iops, hit_ratio=hit_ratio,
        accelerator=accelerator, compute=compute, cores=cores, cpu_speed=cpu_speed, ranks=ranks, hosts=hosts,
    )  # fmt: skip
    reported(predict_command)(directory, also or [], asked, as_json=as_json)


@app.command(context_settings={"allow_interspersed_args": False})
def profile(
    program: Annotated[
        list[str],
        typer.Argument(metavar="PROGRAM", help="python train.py, torchrun ..., or train.py, and its arguments"),
    ],
    results: Results = None,
    label: Label = None,
    quiet: Quiet = False,
) -> None:
    """Run a training program of your own and watch every torch DataLoader that it and its children use.

    Nothing of it is edited, its output is left alone, and its exit code is passed on; the report goes to stderr.
    """
    from ioprof.cli.profile import profile_command

    reported(profile_command)(program, results=Path(results or "./results"), label=label, quiet=quiet)


@app.command()
def replay(
    directory: Annotated[Path, typer.Argument(metavar="RUN", help="the directory of a recorded run")],
    store: Store = None,
    pace: replaying.PaceFlag = "closed",
    anonymise: replaying.Anonymise = False,
    fill: replaying.Fill = False,
    cache: replaying.CacheFlag = None,
    start_method: replaying.StartMethodFlag = "fork",
    results: Results = None,
    label: Label = None,
    dry_run: replaying.DryRun = False,
    plugin: Plugin = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Repeat the accesses of a recorded run on a store: on another one, without the data.

    Objects of the same names and sizes are written, then every operation of every worker is repeated: in its own
    rhythm, at its recorded time, or as fast as the store goes. Accelerator and decoding are not repeated.
    """
    from ioprof.cli.replay import replay_command

    reported(replay_command)(
        directory, store=store, pace=pace, anonymise=anonymise, fill=fill, cache=cache, start_method=start_method,
        results=results, label=label, dry_run=dry_run, as_json=as_json, quiet=quiet,
    )  # fmt: skip


@app.command("list")
def list_(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="a workload, loader or accelerator, to see its parameters")
    ] = None,
    results: Results = None,
    plugin: Plugin = None,
    as_json: Json = False,
) -> None:
    """Show workloads, loaders, accelerators and past runs, or one."""
    from ioprof.cli.listing import list_command

    reported(list_command)(name, Path(results or "./results"), as_json=as_json)


@app.command(context_settings=_ANY_FLAG)
def doctor(
    ctx: typer.Context,
    target: Annotated[
        str | None,
        typer.Argument(metavar="WORKLOAD|FILE.toml", help="the run to judge by: its dataset, workers and batches"),
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
    """Show what would spoil a measurement on this machine and store.

    With a workload, of that very run. Nothing is prepared; a small trial object is written at the store and
    removed. Exit code 1 if there is a problem.
    """
    from ioprof.cli.run import doctor_command

    flags = _given(ctx, "store", "files", "file_size", "loader", "workers", "prefetch", "batch_size", "seed")
    reported(doctor_command)(target, flags, set_ or [], ctx.args, as_json=as_json)


@app.command()
def clean(
    url: Annotated[str, typer.Argument(metavar="URL", help="store to clean: path or fsspec URL")],
    yes: Annotated[bool, typer.Option("--yes", "-y", metavar="", help="do not ask")] = False,
) -> None:
    """Remove the datasets that ioprof made on a store, and nothing else."""
    from ioprof.cli.run import clean_command

    reported(clean_command)(url, assume_yes=yes)


@app.command()
def selftest(
    quick: Annotated[bool, typer.Option("--quick", help="about a minute instead of about four")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Measure what is known: runs on a throttled store, asked against measured; exit code 1 if a figure is off.

    Data and results stand in a temporary folder and are removed. Other work on this host shows in the errors.
    """
    from ioprof.cli.selftest import selftest_command

    reported(selftest_command)(quick=quick, as_json=as_json, quiet=quiet)


def _given(ctx: typer.Context, *names: str) -> list[tuple[str, str]]:
    return [(name.replace("_", "-"), ctx.params[name]) for name in names if ctx.params.get(name) is not None]


def main() -> None:
    """Run the command line."""
    reported(usage_errors_as_ours)(app)


if __name__ == "__main__":
    main()
