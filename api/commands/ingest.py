"""`crowdrun ingest`: put a scheduler log into the job history."""

import json
from dataclasses import asdict

import click

from crowdrun.api.options import settings_options
from crowdrun.api.progress import progress_bar
from crowdrun.data.errors import CrowdrunError
from crowdrun.data.reading import read_log
from crowdrun.data.settings import Settings
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.registry import READERS
from crowdrun.data.store import AddReport, JobStore


@click.command()
@settings_options("home", "store")
@click.argument("log")
@click.option("--format", "log_format", type=click.Choice(list(READERS)), help="Recognised by its content without it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(settings: Settings, log: str, log_format: str | None, as_json: bool) -> None:
    """Put LOG (a file, plain or compressed, or - for standard input) into the job history.

    Ingesting a log again changes nothing, so a log that grows may be given again as a whole, and an ingest that was
    cut short is simply repeated.
    """
    report, added = ReadReport(), AddReport()
    with JobStore.open(settings.store) as store:
        try:
            with progress_bar("ingest") as progress:
                for table in read_log(log, log_format, report, progress):
                    added += store.add(table, source=log)
        except CrowdrunError:
            if report.lines:
                click.echo(_text(added, report), err=True)
            raise
        jobs = store.count()
    if as_json:
        counts = asdict(added) | {"rejected": report.rejected.total(), "lines": report.lines, "jobs_in_store": jobs}
        click.echo(json.dumps(counts, indent=2))
        return
    click.echo(f"{_text(added, report)}; {jobs} runs in {store.address}")


def _text(added: AddReport, report: ReadReport) -> str:
    """One line of counts; the reasons of the rejections are what `crowdrun inspect` is for."""
    extended = f" ({added.extended} of them more about runs that were there)" if added.extended else ""
    return f"{report.lines} lines: {added.new} new{extended}, {added.known} known, {report.rejected.total()} rejected"
