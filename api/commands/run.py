"""`crowdrun run`: a training job with the resources that the crowd recommends, measured, and its outcome kept."""

import signal
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from crowdrun.api.forecasts.forecaster import forecasting
from crowdrun.api.options import settings_options
from crowdrun.api.runs.own_script import begun_earlier, requeue
from crowdrun.api.runs.run_report import RunReport, show_outcome, show_plan
from crowdrun.api.runs.running import job_of, job_options, named, recommender
from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import ConfigError, LaunchError, StoreError
from crowdrun.data.job import JobOutcome, JobRequest
from crowdrun.data.settings import Settings
from crowdrun.data.store_open import open_store
from crowdrun.training.launch.own_job import own_job
from crowdrun.training.launch.registry import LAUNCHERS
from crowdrun.training.runs.attempts import Record, first_attempt, plan_run, run_job
from crowdrun.training.runs.history import summary_of
from crowdrun.training.runs.job_file import read_job

SOURCE = "crowdrun run"


@click.command()
@settings_options("home", "store", "risk", "pseudonymise", "correction")
@click.argument("job", nargs=-1)
@click.option("--resume", metavar="RUN", help="In place of JOB: go on with a run, by its id or folder.")
@job_options
@click.option("--attempts", type=click.IntRange(min=1), default=3, show_default=True, help="Tries when out of memory.")
@click.option("--dry-run", is_flag=True, help="Print what would be executed, and the plan; start nothing.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the record of the run there.")
def command(
    settings: Settings,
    job: Sequence[str],
    resume: str | None,
    place: str,
    attempts: int,
    dry_run: bool,
    json_file: Path | None,
    **told: Any,
) -> int:
    """Run a training job with what the crowd recommends, and measure it.

    JOB is the file of a task (job.toml), the name of a built-in one, or any command after --, which runs unchanged.
    The exit status is the job's.

    \b
    crowdrun run docs/examples/digits.toml
    crowdrun run lenet --ranks 2
    crowdrun run --mem-mb 64000 -- python train.py --epochs 3
    crowdrun run --on slurm --dry-run job.toml
    crowdrun run --resume 20260102T030405Z-digits-1a2b --time 8:00:00
    """
    own = own_job() if place == "local" else None
    begun = _begun(resume, job, settings.runs_dir) if resume is not None else None
    if own and not begun and (earlier := begun_earlier(own, job, told["name"], settings)):
        begun = Path(earlier["folder"])
        if summary_of(earlier).state == "COMPLETED":
            click.echo(f"crowdrun: {begun.name}, the run of this job, is done", err=True)
            return 0
        click.echo(f"crowdrun: going on with {begun.name}, which this job began", err=True)
    asked = job_of(read_job(begun) if begun else named(job), told)
    recommend, launcher = recommender(settings, told), LAUNCHERS[place]()
    forecasts = forecasting(settings, always=False, say=lambda line: click.echo(f"crowdrun: {line}", err=True))
    if dry_run:
        record = plan_run(asked, launcher, recommend, settings.runs_dir / "RUN", forecasts)
        click.echo(launcher.text(first_attempt(asked, record)), nl=False)
        show_plan(record, Console(stderr=True, highlight=False))
        return 0
    with launcher.listening():  # also to a second signal, while the first is obeyed
        record = run_job(
            asked,
            launcher,
            runs_dir=settings.runs_dir,
            recommend=recommend,
            keep=_keeper(settings),
            forecasting=forecasts,
            attempts=attempts,
            listener=RunReport(),
            resume=begun,
            slurm_job=own,
        )
        show_outcome(record)
        if json_file:
            _write(json_file, record.to_json())
        if own and record.goes_on:
            requeue(own, record)
    if own:
        # It may yet come while this process ends, and would make a failure of what was done.
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    return record.status


def _begun(run: str, job: Sequence[str], runs_dir: Path) -> Path:
    """The folder of a run that is to go on."""
    if job:
        raise ConfigError(f"--resume {run} goes on with that run's own job; leave {' '.join(job)} out")
    return runs_dir / run if (runs_dir / run).is_dir() else Path(run).absolute()


def _keeper(settings: Settings) -> Record:
    """Puts an outcome into the store; where that fails the run goes on, and its record is in its folder."""

    def keep(request: JobRequest, outcome: JobOutcome) -> None:
        try:
            with open_store(settings) as store:
                store.add_rows([asdict(request) | asdict(outcome)], source=SOURCE)
        except StoreError as error:
            click.echo(f"crowdrun: the outcome is not in the store: {error}", err=True)

    return keep


def _write(file: Path, text: str) -> None:
    try:
        write_atomically(file.absolute(), text.encode())
    except OSError as error:
        raise LaunchError(f"the job has ended, but its record cannot be written to {file}: {error.strerror}") from error
