"""`crowdrun convert`: rewrite a scheduler log in the canonical columns."""

from collections.abc import Iterator
from pathlib import Path

import click
import pyarrow as pa

from crowdrun.api.log_options import log_options
from crowdrun.api.progress import progress_bar
from crowdrun.data.convert import check_target, write_tables
from crowdrun.data.errors import LogError, LogTruncatedError
from crowdrun.data.reading import check_has_jobs, read_log
from crowdrun.data.sources.base import ReadReport


@click.command()
@log_options
@click.option("--to", "target", type=click.Path(path_type=Path), required=True, help="jobs.csv or jobs.parquet.")
@click.option("--partial", is_flag=True, help="Write what could be read of a log that breaks off.")
def command(log: str, log_format: str, timezone: str, target: Path, partial: bool) -> None:
    """Rewrite LOG (a file, plain or compressed, or - for standard input) as a table of jobs, CSV or Parquet.

    Every job of the log becomes a row; lines that cannot be used are counted, `crowdrun inspect` shows them. The table
    replaces an older one only when it is complete.
    """
    check_target(target)
    report = ReadReport()
    broken: list[LogError] = []

    def tables() -> Iterator[pa.Table]:
        try:
            yield from read_log(log, log_format, report, progress, timezone=timezone)
        except LogTruncatedError as error:
            if not partial:
                raise LogTruncatedError(f"{error} Nothing was written; --partial writes those.") from error
            broken.append(error)
        check_has_jobs(report, log)

    with progress_bar("convert") as progress:
        rows = write_tables(tables(), target)
    counts = f"{report.rejected.total()} lines rejected, {report.repaired.total()} mends"
    click.echo(f"{rows} jobs of {report.lines} lines in {target}; {counts}", err=True)
    for sentence in report.advice:
        click.echo(f"advice: {sentence}", err=True)
    if broken:
        raise broken[0]
