"""`crowdrun backtest`: replay a log in time order, judge the crowd on it, and write predictions and report."""

from pathlib import Path

import click

from crowdrun.api.log_options import log_options
from crowdrun.api.options import settings_options
from crowdrun.api.progress import progress_bar
from crowdrun.data.reading import load_jobs
from crowdrun.data.settings import Settings
from crowdrun.data.sources.base import ReadReport
from crowdrun.predictor.evaluation import backtest


@click.command()
@log_options
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), required=True, help="Folder for the results.")
@settings_options("risk")
@click.option("--seed", default=0, show_default=True, help="The same seed and log give the same results.")
def command(log: str, log_format: str, timezone: str, out: Path, settings: Settings, seed: int) -> None:
    """Replay LOG (- is standard input) in time order and judge the crowd on it.

    Every job is predicted with what was known when it was submitted; its outcome is told when it ended; the crowd is
    fitted anew as it would be in production. Writes predictions.csv, report.json and report.html.
    """
    report = ReadReport()
    with progress_bar("read") as progress:
        jobs = load_jobs([log], log_format, report, progress, timezone=timezone)
    click.echo(f"read {len(jobs)} jobs, rejected {report.rejected.total()} lines", err=True)
    with progress_bar("backtest") as progress:
        backtest.run(jobs, out, risk=settings.risk, seed=seed, progress=progress)
    click.echo(f"wrote {out / 'predictions.csv'}, {out / 'report.json'} and {out / 'report.html'}")
