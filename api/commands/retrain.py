"""`crowdrun retrain`: fit the crowd on the job history and publish it, whole or not at all."""

import json

import click

from crowdrun.api.options import settings_options
from crowdrun.api.progress import progress_bar
from crowdrun.data import store_follow
from crowdrun.data.settings import Settings
from crowdrun.data.store import JobStore
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry
from crowdrun.predictor.scale_out.workers import fits_on_dask


@click.command()
@settings_options("home", "store")
@click.option("--seed", default=0, show_default=True, help="The same seed and jobs give the same model.")
@click.option("--keep", type=click.IntRange(min=1), help="Remove all but this many of the newest models afterwards.")
@click.option("--dask", metavar="ADDRESS|slurm", help="Fit on Dask workers: a scheduler's address, or Slurm jobs.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(settings: Settings, seed: int, keep: int | None, dask: str | None, as_json: bool) -> None:
    """Fit the crowd on the job history and publish it.

    The new model becomes current in one step; a service that runs takes it up within a second. If anything goes
    wrong, the model that is current stays. `crowdrun models rollback` goes back by one.
    """
    with JobStore.open(settings.store) as store:
        # Read first: what ends while the jobs are read is then learnt twice rather than never.
        position = store_follow.position(store)
        jobs = store.jobs()
    with progress_bar("fit") as progress, fits_on_dask(dask):
        crowd = Crowd.train(jobs, seed=seed, progress=progress)
    model_id = registry.publish(crowd, settings.models_dir, store_position=position)
    removed = registry.prune(settings.models_dir, keep=keep) if keep else []
    if as_json:
        click.echo(json.dumps({"id": model_id, "removed": removed, "summary": dict(crowd.summary)}, indent=2))
        return
    click.echo(f"published {model_id}")
    for name, value in crowd.summary.items():
        click.echo(f"  {name}: {value if isinstance(value, str) else json.dumps(value)}")
    for old in removed:
        click.echo(f"removed {old}")
