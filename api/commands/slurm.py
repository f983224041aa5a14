"""`crowdrun slurm`: advice for every submission of a site, and the way back of what its jobs used."""

import json
import time
from dataclasses import asdict
from pathlib import Path

import click

from crowdrun.api.options import settings_options
from crowdrun.api.slurm import filter as site_filter
from crowdrun.api.slurm.collect import Collected, collect
from crowdrun.api.slurm.collect_state import parse_since
from crowdrun.data.errors import CrowdrunError
from crowdrun.data.settings import Settings


@click.group()
def command() -> None:
    """Slurm: what ended since last time into the job history, and advice for a whole site without a wrapper."""


def _folder(name: str | None) -> Path:
    return Path(name).absolute() if name else site_filter.slurm_folder()


@command.command("install-filter")
@click.option("--folder", metavar="DIR", help="Where slurm.conf is; asked of scontrol without it.")
@click.option("--replace", is_flag=True, help="Keep another filter aside; remove-filter puts it back.")
def install_filter(folder: str | None, replace: bool) -> None:
    """Put a cli_filter.lua beside slurm.conf that asks the service at each sbatch, and lets all through.

    It is checked by luac before it is moved into place. Run it on each machine where users submit, as who may write
    there. Its settings are those of csbatch: /etc/crowdrun/csbatch.conf.
    """
    for line in site_filter.install(_folder(folder), replace=replace):
        click.echo(line)


@command.command("remove-filter")
@click.option("--folder", metavar="DIR", help="Where slurm.conf is; asked of scontrol without it.")
def remove_filter(folder: str | None) -> None:
    """Take the filter away: the one that was there before comes back, or one that does nothing is left."""
    for line in site_filter.remove(_folder(folder)):
        click.echo(line)


@command.command("collect")
@settings_options("home", "store")
@click.option("--since", metavar="DATE", help="Start here, like 2026-01-31, instead of where the last ended.")
@click.option("--every", metavar="SECONDS", type=click.FloatRange(min=1), help="Go on until Ctrl-C, this often.")
@click.option("--trust-units", is_flag=True, help="Also take in jobs whose memory seems to be in another unit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, a line for each time.")
def collect_command(
    settings: Settings, since: str | None, every: float | None, trust_units: bool, as_json: bool
) -> None:
    """Put what ended in Slurm since last time into the job history, as sacct tells it.

    It may be stopped at any moment and run again: it goes on where it was, and what is there already changes nothing.
    While the accounting database is down nothing is lost; --every asks again. The first time it reads 30 days.
    """
    start = parse_since(since) if since else None
    while True:
        try:
            _show(collect(settings, since=start, trust_units=trust_units), as_json)
            start = None
        except CrowdrunError as error:
            if every is None:
                raise
            click.echo(f"crowdrun: {error}; trying again in {every:g} s", err=True)
        if every is None:
            return
        time.sleep(every)


def _show(collected: Collected, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(asdict(collected)))
    else:
        click.echo(collected.text())
