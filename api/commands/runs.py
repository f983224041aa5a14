"""`crowdrun runs`: what was run, and the story of one run."""

import json
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import click
from rich.console import Console

from crowdrun.api.options import settings_options
from crowdrun.api.runs.run_story import list_table, plot_run, show_run
from crowdrun.data.settings import Settings
from crowdrun.training.runs.history import read_run, read_runs, summary_of


@click.group(invoke_without_command=True)
@settings_options("home")
@click.option("--last", type=click.IntRange(min=1), default=20, show_default=True, help="How many, the newest first.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def command(context: click.Context, settings: Settings, last: int, as_json: bool) -> None:
    """List the runs of `crowdrun run`, the newest first; `show` tells the story of one."""
    if context.invoked_subcommand:
        return
    found = [summary_of(record) for record in islice(read_runs(settings.runs_dir), last)]
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    elif found:
        Console(highlight=False).print(list_table(found))
    else:
        click.echo(f"no runs in {settings.runs_dir}; 'crowdrun run JOB' makes one")


@command.command("show")
@settings_options("home")
@click.argument("run_id")
@click.option("--json", "as_json", is_flag=True, help="Print the whole record as JSON.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw its curves: .png, .svg or .pdf.")
def show(settings: Settings, run_id: str, as_json: bool, plot: Path | None) -> None:
    """Tell the story of a run: what was asked for, recommended and planned, each attempt, its curves, and how it ended.

    RUN_ID may be cut short where that is clear.
    """
    record = read_run(settings.runs_dir, run_id)
    if plot:
        plot_run(record, plot)
    if as_json:
        click.echo(json.dumps(record, indent=2))
    else:
        show_run(record, Console(highlight=False))
