"""`crowdrun run`: a training job with the resources that the crowd recommends, measured, and its outcome kept."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from crowdrun.api.live_model import SHORT_BACKLOG, LiveModel
from crowdrun.api.options import settings_options
from crowdrun.api.run_report import RunReport, show_outcome, show_plan
from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import ConfigError, LaunchError, ModelError, StoreError
from crowdrun.data.job import JobOutcome, JobRequest, Recommendation
from crowdrun.data.settings import Settings
from crowdrun.data.store_open import open_store, pseudonyms_of
from crowdrun.data.units import duration_s
from crowdrun.training.attempts import Recommend, Record, first_attempt, plan_run, run_job
from crowdrun.training.job import Job, command_job, load_job, named_job, with_flags
from crowdrun.training.job_file import read_job
from crowdrun.training.launch.registry import LAUNCHERS
from crowdrun.training.models.table import BUILT_IN
from crowdrun.training.strategies.settings import SETTINGS

SOURCE = "crowdrun run"


@click.command()
@settings_options("home", "store", "risk", "pseudonymise")
@click.argument("job", nargs=-1)
@click.option("--resume", metavar="RUN", help="In place of JOB: go on with a run, by its id or folder.")
@click.option("--on", "place", type=click.Choice(list(LAUNCHERS)), default="local", show_default=True)
@click.option("--name", help="The name in the log; the script's or the job file's without it.")
@click.option("--ranks", type=click.IntRange(min=1), help="Processes; above 1 a command runs under torchrun.")
@click.option("--strategy", type=click.Choice(list(SETTINGS)), help="How the ranks of a task train; ddp without it.")
@click.option("--mem-mb", type=float, help="Host memory to ask for, MB, total of the job.")
@click.option("--time", "time_limit", help="Time limit to ask for, as sbatch's --time.")
@click.option("--attempts", type=click.IntRange(min=1), default=3, show_default=True, help="Tries when out of memory.")
@click.option("--no-predict", is_flag=True, help="Run with what is asked for.")
@click.option("--model-dir", type=click.Path(path_type=Path), help="Published models, in place of those of --home.")
@click.option("--dry-run", is_flag=True, help="Print what would be executed, and the plan; start nothing.")
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write the record of the run there.")
def command(
    settings: Settings,
    job: Sequence[str],
    resume: str | None,
    place: str,
    name: str | None,
    ranks: int | None,
    strategy: str | None,
    mem_mb: float | None,
    time_limit: str | None,
    attempts: int,
    no_predict: bool,
    model_dir: Path | None,
    dry_run: bool,
    json_file: Path | None,
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
    begun = None if resume is None else _begun(resume, job, settings.runs_dir)
    asked = with_flags(
        read_job(begun) if begun else _job(job),
        name=name,
        ranks=ranks,
        mem_mb=mem_mb,
        timelimit_s=_seconds(time_limit),
        strategy=strategy,
    )
    recommend = _nothing if no_predict else _recommender(settings, model_dir or settings.models_dir)
    launcher = LAUNCHERS[place]()
    if dry_run:
        record = plan_run(asked, launcher, recommend, settings.runs_dir / "RUN")
        click.echo(launcher.text(first_attempt(asked, record)), nl=False)
        show_plan(record, Console(stderr=True, highlight=False))
        return 0
    record = run_job(
        asked,
        launcher,
        runs_dir=settings.runs_dir,
        recommend=recommend,
        keep=_keeper(settings),
        attempts=attempts,
        listener=RunReport(),
        resume=begun,
    )
    show_outcome(record)
    if json_file:
        _write(json_file, record.to_json())
    return record.status


def _begun(run: str, job: Sequence[str], runs_dir: Path) -> Path:
    """The folder of a run that is to go on."""
    if job:
        raise ConfigError(f"--resume {run} goes on with that run's own job; leave {' '.join(job)} out")
    return runs_dir / run if (runs_dir / run).is_dir() else Path(run).absolute()


def _job(words: Sequence[str]) -> Job:
    if not words:
        raise ConfigError("there is no job; name a job file, a built-in task, a command after --, or --resume RUN")
    if len(words) == 1 and words[0].endswith(".toml"):
        return load_job(Path(words[0]), work_dir=Path.cwd())
    if len(words) == 1 and words[0] in BUILT_IN:
        return named_job(words[0], work_dir=Path.cwd())
    return command_job(words, work_dir=Path.cwd())


def _seconds(text: str | None) -> float | None:
    try:
        return None if text is None else duration_s(text)
    except ValueError as error:
        raise ConfigError(f"--time: {error}") from error


def _nothing(request: JobRequest) -> Recommendation | None:
    del request
    return None


def _recommender(settings: Settings, models_dir: Path) -> Recommend:
    """What the published model says, having learnt what the store has heard since; a run never waits for a model."""

    def recommend(request: JobRequest) -> Recommendation | None:
        try:
            model = LiveModel.current(
                models_dir, lambda line: click.echo(f"crowdrun: {line}", err=True), pseudonyms_of(settings)
            )
            with open_store(settings) as store:
                model.learn(store, at_most=SHORT_BACKLOG)
        except (ModelError, StoreError) as error:
            click.echo(f"crowdrun: no recommendation: {error}; going on with what is asked for", err=True)
            return None
        return model.recommend([request], settings.risk)[0]

    return recommend


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
