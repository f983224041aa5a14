"""`crowdrun ingest`: put a scheduler log into the job history."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from crowdrun.api.options import settings_options
from crowdrun.api.progress import progress_bar
from crowdrun.data.errors import CrowdrunError
from crowdrun.data.kept_aside import admitted, guard_for, write_aside
from crowdrun.data.reading import read_log
from crowdrun.data.settings import Settings
from crowdrun.data.sources.base import ReadReport
from crowdrun.data.sources.registry import READERS
from crowdrun.data.store import AddReport
from crowdrun.data.store_open import open_store
from crowdrun.data.unit_guard import UnitGuard


@click.command()
@settings_options("home", "store", "pseudonymise")
@click.argument("log")
@click.option("--format", "log_format", type=click.Choice(list(READERS)), help="Recognised by its content without it.")
@click.option("--trust-units", is_flag=True, help="Also take in jobs whose memory seems to be in another unit.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(settings: Settings, log: str, log_format: str | None, trust_units: bool, as_json: bool) -> None:
    """Put LOG (a file, plain or compressed, or - for standard input) into the job history.

    Ingesting a log again changes nothing, so a log that grows may be given again as a whole, and an ingest that was
    cut short is simply repeated. Jobs with a unit error (a stretch whose memory is 1024 times what the same users' jobs
    used before) are kept aside in a file, to be mended and ingested again.
    """
    report, added = ReadReport(), AddReport()
    with open_store(settings) as store:
        guard = UnitGuard() if trust_units else guard_for(store)
        try:
            with progress_bar("ingest") as progress:
                tables = read_log(log, log_format, report, progress)
                if store.pseudonyms:
                    # Before anything is compared with what is stored, or kept aside.
                    tables = map(store.pseudonyms.table, tables)
                for table in tables if trust_units else admitted(tables, guard):
                    added += store.add(table, source=log)
        except CrowdrunError:
            if report.lines:
                click.echo(_text(added, report), err=True)
            raise
        finally:
            kept_aside = _keep_aside(guard, settings.home / "aside")
        jobs = store.count()
    if as_json:
        counts = asdict(added) | {
            "rejected": report.rejected.total(), "lines": report.lines, "jobs_in_store": jobs, "kept_aside": kept_aside,
        }  # fmt: skip
        click.echo(json.dumps(counts, indent=2))
        return
    click.echo(f"{_text(added, report)}; {jobs} runs in {store.address}")


def _keep_aside(guard: UnitGuard, folder: Path) -> int:
    """Write what the guard refused to a file, say so, and return how many jobs it is."""
    refused = guard.take_refused()
    if refused:
        file = write_aside(refused, folder)
        for finding in guard.findings:
            click.echo(f"crowdrun: {finding}: a unit error?", err=True)
        click.echo(
            f"crowdrun: {len(refused)} jobs are kept aside in {file} and are not learnt; mend and ingest that file, or "
            "ingest it as it is with --trust-units",
            err=True,
        )
    return len(refused)


def _text(added: AddReport, report: ReadReport) -> str:
    """One line of counts; the reasons of the rejections are what `crowdrun inspect` is for."""
    extended = f" ({added.extended} of them more about runs that were there)" if added.extended else ""
    return f"{report.lines} lines: {added.new} new{extended}, {added.known} known, {report.rejected.total()} rejected"
