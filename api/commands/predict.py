"""`crowdrun predict`: what a job needs, from its batch script or from options, for a person or as JSON."""

import getpass
import grp
import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import click

from crowdrun.api.batch_script import read_script
from crowdrun.api.client import Client
from crowdrun.api.forecasts.card import device_model
from crowdrun.api.forecasts.known_training import with_forecast
from crowdrun.api.forecasts.training_command import training_command
from crowdrun.api.options import settings_options
from crowdrun.api.sbatch import VARIABLES
from crowdrun.api.schemas.recommendation import RecommendationAnswer
from crowdrun.api.serving.live_model import SHORT_BACKLOG, LiveModel
from crowdrun.api.show import show_recommendation
from crowdrun.data.errors import RequestError, StoreError
from crowdrun.data.job import JobRequest, Recommendation
from crowdrun.data.queue_state import Queue
from crowdrun.data.settings import Settings
from crowdrun.data.store_open import open_store, pseudonyms_of
from crowdrun.training.launch.slurm_queue import waiting_and_running

#: Options with sbatch's names, letters and meaning -> letter.
SBATCH_OPTIONS: dict[str, str | None] = {
    "mem": None,
    "mem-per-cpu": None,
    "mem-per-gpu": None,
    "time": "t",
    "nodes": "N",
    "ntasks": "n",
    "cpus-per-task": "c",
    "gpus": "G",
    "gpus-per-node": None,
    "gres": None,
    "partition": "p",
    "account": "A",
    "qos": "q",
    "job-name": "J",
}
#: Fields of the request that sbatch has no option for -> type.
REQUEST_OPTIONS: dict[str, type] = {
    "user": str,
    "group": str,
    "command": str,
    "work_dir": str,
    "model": str,
    "params_m": float,
    "batch_size": int,
    "precision": str,
    "optimizer": str,
}


def job_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that describe a job."""
    for name, kind in reversed(REQUEST_OPTIONS.items()):
        function = click.option(f"--{name.replace('_', '-')}", name, type=kind, help=f"{name} of the job")(function)
    for name, letter in reversed(SBATCH_OPTIONS.items()):
        spellings = [f"--{name}", _parameter(name), *([f"-{letter}"] if letter else [])]
        function = click.option(*spellings, help=f"as sbatch's --{name}")(function)
    return function


def _parameter(option: str) -> str:
    return f"sbatch_{option.replace('-', '_')}"


@click.command()
@settings_options("home", "store", "url", "risk", "correction")
@click.option("--script", metavar="FILE", help="Batch script whose #SBATCH lines are read; - is standard input.")
@click.option("--queue", type=click.Choice(["slurm"]), help="Look at what waits and runs there now, for the wait.")
@click.option("--explain", is_flag=True, help="Say why: what moved it, and what other requests would get.")
@click.option("--remote", is_flag=True, help="Ask the service at --url, with the token of CROWDRUN_TOKEN.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@job_options
def command(
    settings: Settings,
    script: str | None,
    queue: str | None,
    explain: bool,
    remote: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Say what a job needs before it is submitted.

    The job is given by its batch script, by options named as sbatch's, or both; options go before SBATCH_* variables,
    and these before the script. Nothing is submitted.

    \b
    crowdrun predict --script train.sh --explain
    crowdrun predict --user ada --job-name resnet --mem 64G --time 2:00:00 --gres gpu:1
    """
    text = _text(script)
    request = _request(script, text, options)
    if remote:
        if queue:
            raise RequestError("--queue looks at what waits from here; leave it out with --remote")
        answer = _asked(settings, request, explain, text)
    else:
        recommended = _recommended(settings, request, queue, explain)
        overhead = device_model(settings.correction)
        answer = RecommendationAnswer.of(with_forecast(recommended, text, overhead))
    if as_json:
        click.echo(answer.model_dump_json(indent=2))
    else:
        show_recommendation(answer.to_record())


def _asked(settings: Settings, request: JobRequest, explain: bool, text: str) -> RecommendationAnswer:
    with Client(settings.url) as client:
        risk = settings.risk if settings.origins["risk"] != "default" else None
        # Nobody else's business, unless it says something.
        return client.predict(request, risk=risk, explain=explain, script=text if training_command(text) else None)


def _recommended(settings: Settings, request: JobRequest, queue: str | None, explain: bool) -> Recommendation:
    model = LiveModel.current(
        settings.models_dir, lambda line: click.echo(f"crowdrun: {line}", err=True), pseudonyms_of(settings)
    )
    try:
        with open_store(settings) as store:
            model.learn(store, at_most=SHORT_BACKLOG)
    except StoreError as error:
        click.echo(f"crowdrun: {error}; going on with what was known when the model was made", err=True)
    queues = [Queue.of(waiting_and_running()) if queue else None]
    return model.recommend([request], settings.risk, queues, explained=explain)[0]


def _request(script: str | None, text: str, options: Mapping[str, Any]) -> JobRequest:
    name = Path(script).name if script and script != "-" else None
    variables = [(option, os.environ[name]) for name, option in VARIABLES.items() if os.environ.get(name)]
    given = [(option, value) for option in SBATCH_OPTIONS if (value := options[_parameter(option)]) is not None]
    known = {
        "user": getpass.getuser(),
        "group": grp.getgrgid(os.getgid()).gr_name,
        "work_dir": str(Path.cwd()),
        "command": f"sbatch {script}" if name else None,
        "submit_time": time.time(),
    }
    told = {field: options[field] for field in REQUEST_OPTIONS if options[field] is not None}
    return read_script(text, name=name, given=variables + given, **(known | told))


def _text(script: str | None) -> str:
    if script is None:
        return ""
    try:
        return sys.stdin.read() if script == "-" else Path(script).read_text("utf-8", errors="replace")
    except OSError as error:
        raise RequestError(f"cannot read the script {script}: {error.strerror}") from error
