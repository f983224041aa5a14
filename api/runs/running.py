"""What `run` and `plan` have in common: the job that was named, and who is asked about it."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from crowdrun.api.serving.live_model import SHORT_BACKLOG, LiveModel
from crowdrun.data.errors import ConfigError, ModelError, StoreError
from crowdrun.data.job import JobRequest, Recommendation
from crowdrun.data.settings import Settings
from crowdrun.data.store_open import open_store, pseudonyms_of
from crowdrun.data.units import duration_s, memory_mb
from crowdrun.training.job import Job, command_job, load_job, named_job, with_flags
from crowdrun.training.launch.registry import LAUNCHERS
from crowdrun.training.models.table import BUILT_IN
from crowdrun.training.planning.placement import PLACEMENTS
from crowdrun.training.runs.attempts import Recommend
from crowdrun.training.strategies.settings import AUTO, SETTINGS

_OPTIONS = (
    click.option("--on", "place", type=click.Choice(list(LAUNCHERS)), default="local", show_default=True),
    click.option("--name", help="The name in the log; the script's or the job file's without it."),
    click.option("--ranks", type=click.IntRange(min=1), help="Processes; above 1 a command runs under torchrun."),
    click.option("--strategy", type=click.Choice([AUTO, *SETTINGS]), help="How the ranks of a task train."),
    click.option("--mem-mb", type=float, help="Host memory to ask for, MB, total of the job."),
    click.option("--time", "time_limit", help="Time limit to ask for, as sbatch's --time."),
    click.option("--gpus", type=click.IntRange(min=0), help="GPUs to ask for; a task takes no more."),
    click.option("--card", metavar="SIZE", help="Memory of one card (24GB), where the machine does not say it."),
    click.option("--placement", type=click.Choice(PLACEMENTS), help="Cards close together, or far apart."),
    click.option("--no-predict", is_flag=True, help="Go by what is asked for."),
    click.option("--model-dir", type=click.Path(path_type=Path), help="Published models, in place of those of --home."),
)


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options of a command that takes a job."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def job_of(job: Job, told: dict[str, Any]) -> Job:
    """The job with what the options say, which are taken out of `told`."""
    flags = {name: told.pop(name) for name in ("name", "ranks", "strategy", "mem_mb", "gpus", "placement")}
    limit, card = told.pop("time_limit"), told.pop("card")
    return with_flags(
        job,
        timelimit_s=_read("--time", duration_s, limit),
        card_mb=_read("--card", lambda text: memory_mb(text, bare="M"), card),
        **flags,
    )


def named(words: Sequence[str]) -> Job:
    """The file of a task, the name of a built-in one, or a command.

    Raises:
        ConfigError: nothing was named, or the file cannot be used.
    """
    if not words:
        raise ConfigError("there is no job; name a job file, a built-in task, a command after --, or --resume RUN")
    if len(words) == 1 and words[0].endswith(".toml"):
        return load_job(Path(words[0]), work_dir=Path.cwd())
    if len(words) == 1 and words[0] in BUILT_IN:
        return named_job(words[0], work_dir=Path.cwd())
    return command_job(words, work_dir=Path.cwd())


def _read(option: str, parse: Callable[[str], float | None], text: str | None) -> float | None:
    try:
        return None if text is None else parse(text)
    except ValueError as error:
        raise ConfigError(f"{option}: {error}") from error


def recommender(settings: Settings, told: dict[str, Any]) -> Recommend:
    """What the published model says, having learnt what the store has heard since; nobody waits for a model."""
    models_dir, silent = told.pop("model_dir") or settings.models_dir, told.pop("no_predict")

    def recommend(request: JobRequest) -> Recommendation | None:
        if silent:
            return None
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
