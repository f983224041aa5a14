"""`crowdrun retrain`: train a challenger on the job history, and publish what is better than the model in use."""

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import click

from crowdrun.api.options import settings_options
from crowdrun.api.progress import progress_bar, progress_file
from crowdrun.data.settings import Settings
from crowdrun.data.store_open import open_store
from crowdrun.predictor.persistence import registry
from crowdrun.predictor.retraining.pipeline import Champion, Done, Options, needed, run
from crowdrun.predictor.retraining.triggers import Limits
from crowdrun.predictor.scale_out.workers import fits_on_dask


@click.command()
@settings_options("home", "store")
@click.option("--if-needed", is_flag=True, help="Do nothing unless a trigger fires; say which, or why none.")
@click.option("--after-jobs", type=click.IntRange(min=1), default=Limits.jobs, show_default=True, help="Trigger.")
@click.option("--after-days", type=click.FloatRange(min=0), default=Limits.days, show_default=True, help="Trigger.")
@click.option("--search", "minutes", type=click.FloatRange(min=0.05), help="Choose members and settings so long.")
@click.option("--dask", metavar="WHERE", help="Fit on Dask workers: a scheduler's address, or slurm for jobs of one.")
@click.option("--force", is_flag=True, help="Train on everything and publish without a contest.")
@click.option("--seed", default=0, show_default=True, help="The same seed and jobs give the same model.")
@click.option("--keep", type=click.IntRange(min=1), help="Remove all but this many of the newest models afterwards.")
@click.option("--progress", "progress_path", type=click.Path(path_type=Path), help="Tell the progress in a JSON file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    settings: Settings,
    if_needed: bool,
    after_jobs: int,
    after_days: float,
    minutes: float | None,
    dask: str | None,
    force: bool,
    seed: int,
    keep: int | None,
    progress_path: Path | None,
    as_json: bool,
) -> None:
    """Train the crowd anew on the job history, and publish it where it is better than the model in use.

    A challenger is trained on what ended before the newest segment of the log; both are taken through that segment, and
    each target goes to the one that is better there by a margin that is tested. A new model becomes current in one
    step; a service that runs takes it up within a second. If anything goes wrong, the model that is current stays.

    \b
    crowdrun retrain                    # once
    crowdrun retrain --if-needed        # from cron: only when there is a reason
    crowdrun retrain --search 30        # choose members and settings for this log, for half an hour
    """

    def complain(line: str) -> None:
        click.echo(f"crowdrun: {line}", err=True)

    champion = Champion.current(settings.models_dir, complain)
    telling = nullcontext(progress_file(progress_path)) if progress_path else progress_bar("retrain")
    with open_store(settings) as store, telling as progress:
        if if_needed:
            is_needed, said = needed(store, champion, Limits(jobs=after_jobs, days=after_days), progress)
            if not is_needed:
                _say_not_needed(said, as_json)
                return
            complain(f"retraining is needed: {said[-1]}")
        options = Options(seed=seed, minutes=minutes, force=force)
        with fits_on_dask(dask):
            done = run(store, settings.models_dir, champion, options, progress)
    removed = registry.prune(settings.models_dir, keep=keep) if keep and done.model_id else []
    for finding in done.kept_aside:
        complain(f"{finding}: a unit error; they were not learnt")
    _say(done, removed, as_json)


def _say_not_needed(said: Sequence[str], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({"id": None, "needed": False, "triggers": said}, indent=2))
        return
    click.echo("retraining is not needed")
    for line in said:
        click.echo(f"  {line}")


def _say(done: Done, removed: Sequence[str], as_json: bool) -> None:
    if as_json:
        told = {"id": done.model_id, "needed": True, "removed": removed, "report": done.report, "summary": done.summary}
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"published {done.model_id}" if done.model_id else "nothing was published; the model in use stays")
    for line in done.lines():
        click.echo(f"  {line}")
    for old in removed:
        click.echo(f"removed {old}")
