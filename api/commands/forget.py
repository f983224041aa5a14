"""`crowdrun forget`: remove a person from the job history, and from the models."""

import click

from crowdrun.api.options import settings_options
from crowdrun.api.progress import progress_bar
from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.errors import NotEnoughDataError
from crowdrun.data.settings import Settings
from crowdrun.data.store import JobStore
from crowdrun.data.store_forget import forget
from crowdrun.data.store_open import open_store
from crowdrun.predictor.persistence import registry
from crowdrun.predictor.retraining.pipeline import Champion, Options, run


@click.command()
@settings_options("home", "store", "pseudonymise")
@click.argument("user")
@click.option("--retrain", is_flag=True, help="Train a model without them now, publish it, and remove all others.")
def command(settings: Settings, user: str, retrain: bool) -> None:
    """Remove all jobs and tokens of USER.

    Every later model knows nothing of them. The models that are published until then still do, in the histories from
    which they answer: --retrain replaces them at once, otherwise the next `crowdrun retrain` that publishes does, and
    `crowdrun models prune` removes the old ones. A service that runs takes the new model up within a second.

    Not touched are: the scheduler's own log, which brings them back when it is ingested again; backups; what
    `crowdrun ingest` kept aside, and the records of runs, both files in CROWDRUN_HOME.
    """
    tokens = TokenFile.of(settings)
    theirs = [token for token in tokens.list() if token.user == user]
    for token in theirs:
        tokens.revoke(token.id)
    with open_store(settings) as store:
        runs = forget(store, user)
        click.echo(f"removed {runs} run{'s' * (runs != 1)} and {len(theirs)} token{'s' * (len(theirs) != 1)} of {user}")
        if retrain:
            _replace_models(store, settings)
        elif left := registry.list_models(settings.models_dir):
            models = "a published model" if len(left) == 1 else f"{len(left)} published models"
            click.echo(f"crowdrun: {models} may still answer from these jobs; --retrain replaces them", err=True)


def _replace_models(store: JobStore, settings: Settings) -> None:
    champion = Champion.current(settings.models_dir, lambda line: click.echo(f"crowdrun: {line}", err=True))
    try:
        with progress_bar("retrain") as progress:
            done = run(store, settings.models_dir, champion, Options(force=True), progress)
    except NotEnoughDataError as error:
        raise NotEnoughDataError(
            f"{error}; the models that know these jobs are still there: remove {settings.models_dir} to be rid of them"
        ) from error
    click.echo(f"published {done.model_id}")
    for old in registry.prune(settings.models_dir, keep=1):
        click.echo(f"removed {old}")
