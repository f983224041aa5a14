"""`crowdrun estimate`: the GPU memory of a training step, from the model itself, without a GPU."""

import json
from pathlib import Path
from typing import Any

import click

from crowdrun.api.forecasts.card import device_model
from crowdrun.api.forecasts.forecast_plot import plot_forecast
from crowdrun.api.forecasts.forecast_report import show_fit, show_forecast
from crowdrun.api.forecasts.forecasting import ask_description, ask_task
from crowdrun.api.forecasts.known_networks import known_network
from crowdrun.api.forecasts.remote_estimate import ask_service, remote_model
from crowdrun.api.json_file import write_json
from crowdrun.api.options import settings_options
from crowdrun.api.runs.task_options import task_options
from crowdrun.data.description.model import ModelDescription, described
from crowdrun.data.errors import ConfigError, DescriptionError
from crowdrun.data.forecast import DEVICES, STRATEGIES, Fit, Forecast, ForecastSettings
from crowdrun.data.pipeline.names import SCHEDULES
from crowdrun.data.settings import Settings
from crowdrun.data.task import PRECISIONS, TrainingOptions
from crowdrun.data.units import memory_mb
from crowdrun.training.models.table import BUILT_IN, BuiltIn, task_named


@click.command()
@settings_options("url", "risk", "correction")
@click.argument("task")
@click.option("--batch", type=click.IntRange(min=1), help="Samples a step, over all GPUs together.")
@click.option("--precision", type=click.Choice(PRECISIONS), default="fp32", show_default=True)
@click.option("--optimizer", default=None, help="A name that the task knows.")
@click.option("--option", "extra", multiple=True, metavar="KEY=VALUE", help="One of the task's [options].")
@click.option("--accumulate", default=1, show_default=True, type=click.IntRange(min=1), help="Micro-batches a step.")
@click.option("--checkpoint", is_flag=True, help="Recompute the model's repeated blocks in the backward pass.")
@click.option("--inference", is_flag=True, help="The forward pass alone.")
@click.option("--strategy", type=click.Choice(STRATEGIES), default="single", show_default=True)
@click.option("--world", default=None, type=click.IntRange(min=1), help="GPUs of the strategy.")
@click.option(
    "--rank", default=None, type=click.IntRange(min=0),
    help="Whose memory is said; left out: of a pipeline the rank that holds most, else the first.",
)  # fmt: skip
@click.option("--schedule", type=click.Choice(SCHEDULES), default="1f1b", show_default=True, help="pipeline, hybrid.")
@click.option(
    "--micro-batches", default=4, show_default=True, type=click.IntRange(min=1),
    help="pipeline, hybrid: parts of a batch that go through.",
)  # fmt: skip
@click.option("--pipeline-ranks", default=None, type=click.IntRange(min=1), help="hybrid: GPUs of one pipeline.")
@click.option("--bucket-views", is_flag=True, help="ddp, zero1: gradient_as_bucket_view.")
@click.option("--device", type=click.Choice(DEVICES), default="cuda", show_default=True, help="Whose kernels.")
@click.option("--depth", default=1, show_default=True, type=click.IntRange(min=0), help="Levels of modules to print.")
@click.option("--fit", "limit", metavar="SIZE", help="Does it fit into a card of so much (24GB), and what would?")
@click.option(
    "--remote", is_flag=True, help="Ask the service at --url, with the token of CROWDRUN_TOKEN; needs no torch."
)
@click.option("--json", "json_file", type=click.Path(path_type=Path, allow_dash=True), help="Write JSON; - prints it.")
@click.option("--plot", type=click.Path(path_type=Path, dir_okay=False), help="Draw it: .png, .svg, .pdf or .html.")
def command(
    settings: Settings,
    task: str,
    batch: int | None,
    precision: str,
    optimizer: str | None,
    extra: tuple[str, ...],
    accumulate: int,
    checkpoint: bool,
    inference: bool,
    strategy: str,
    world: int | None,
    rank: int | None,
    schedule: str,
    micro_batches: int,
    pipeline_ranks: int | None,
    bucket_views: bool,
    device: str,
    depth: int,
    limit: str | None,
    remote: bool,
    json_file: Path | None,
    plot: Path | None,
) -> None:
    """Say what a training step needs of a GPU's memory, without a GPU and without that memory.

    TASK is a file or module with the functions of a task, the name of a built-in one, or a description of a model
    (.json). The step is traced, not computed.

    \b
    crowdrun estimate resnet-50 --batch 32
    crowdrun estimate task.py --batch 64 --precision bf16 --fit 24GB
    crowdrun estimate docs/examples/transformer.json --batch 64
    crowdrun estimate gpt2 --batch 8 --fit 24GB --remote
    crowdrun estimate vgg-16 --batch 64 --strategy pipeline --world 4
    """
    how = ForecastSettings(
        precision=precision, accumulation=accumulate, training=not inference, checkpointing=checkpoint, device=device,
        strategy=strategy, world_size=_world(strategy, world), bucket_views=bucket_views, rank=rank,
        schedule=schedule, micro_batches=micro_batches, pipeline_ranks=pipeline_ranks,
    )  # fmt: skip
    limit_mb = None if limit is None else _size(limit)
    description: ModelDescription | None = None
    if task.endswith(".json"):
        built_in, description = _described(Path(task))
    else:
        told = task_options(extra)
        built_in = task_named(task, told) if task in BUILT_IN else BuiltIn(module=task, options=told)
    given = {"batch_size": batch, "optimizer": optimizer, "precision": precision}
    options = TrainingOptions(
        **{**built_in.training, **{key: value for key, value in given.items() if value is not None}},
        extra=built_in.options,
    )
    if remote:
        fit_body = None if limit_mb is None else {"limit_mb": limit_mb, "risk": settings.risk}
        answer = ask_service(settings.url, remote_model(task, options.extra), options, how, depth=depth, fit=fit_body)
        fitted = answer.fit.to_record(answer.micro_batch, how) if answer.fit else None
        _tell(task, answer.micro_batch, answer.to_record(how), fitted, depth=depth, json_file=json_file, plot=plot)
        return
    overhead = device_model(settings.correction)
    ask = (
        ask_description(description, options.optimizer, overhead)
        if description
        else ask_task(built_in.module, options, overhead)
    )
    micro_batch = how.micro_batch(options.batch_size)
    said = ask(micro_batch, how)
    fitted = None
    if limit_mb is not None:
        from crowdrun.predictor.gpu_memory.fit import fit

        fitted = fit(ask, micro_batch, how, limit_mb=limit_mb, risk=settings.risk, overhead=overhead)
    _tell(task, micro_batch, said, fitted, depth=depth, json_file=json_file, plot=plot)


def _tell(
    task: str, micro_batch: int, said: Forecast, fitted: Fit | None, *, depth: int, json_file: Path | None,
    plot: Path | None,
) -> None:  # fmt: skip
    """As it was asked for: a plot, JSON, words."""
    record: dict[str, Any] = {"task": task, "micro_batch": micro_batch} | said.to_json()
    if fitted:
        record["fit"] = fitted.to_json()
    if plot:
        plot_forecast(said, plot)
    if json_file:
        write_json(json_file, record)
    if str(json_file) != "-":
        show_forecast(said, depth=depth)
        if fitted:
            show_fit(fitted)


def _described(file: Path) -> tuple[BuiltIn, ModelDescription | None]:
    """A built-in network, or a description, from its JSON."""
    try:
        model = described(json.loads(file.read_text("utf-8")))
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{file} is not JSON: {error}") from error
    except DescriptionError as error:
        raise DescriptionError(f"{file}: {error}") from error
    if isinstance(model, ModelDescription):
        return BuiltIn(module=str(file)), model
    return task_named(*known_network(model)), None


def _world(strategy: str, world: int | None) -> int:
    if strategy == "single" and world not in (None, 1):
        raise ConfigError(f"--world is {world}; with more than one GPU, say how with --strategy")
    if strategy != "single" and world is None:
        raise ConfigError(f"--strategy {strategy} is over several GPUs; say how many with --world")
    return world or 1


def _size(text: str) -> float:
    try:
        return memory_mb(text, bare="M")
    except ValueError as error:
        raise ConfigError(f"--fit: {error}") from error
