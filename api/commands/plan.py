"""`crowdrun plan`: what a run would be given, and why; nothing is started."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from crowdrun.api.forecasts.forecaster import forecasting
from crowdrun.api.json_file import write_json
from crowdrun.api.options import settings_options
from crowdrun.api.runs.run_report import show_plan, show_planned
from crowdrun.api.runs.running import job_of, job_options, named, recommender
from crowdrun.data.errors import ConfigError
from crowdrun.data.settings import Settings
from crowdrun.training.job import Job
from crowdrun.training.launch.registry import LAUNCHERS
from crowdrun.training.planning.plan import Machine
from crowdrun.training.planning.topology import NodeCards, parse_links
from crowdrun.training.runs.attempts import first_attempt, plan_run


@click.command()
@settings_options("home", "store", "risk", "pseudonymise", "correction")
@click.argument("job", nargs=-1, required=True)
@job_options
@click.option("--nodes", "node_count", type=click.IntRange(min=1), help="Plan for so many nodes with --gpus each.")
@click.option(
    "--topology",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Plan for nodes that are linked so: what `nvidia-smi topo --matrix` prints there.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be executed as well.")
@click.option("--json", "json_file", type=click.Path(path_type=Path, allow_dash=True), help="Write JSON; - prints it.")
def command(
    settings: Settings,
    job: Sequence[str],
    place: str,
    node_count: int | None,
    topology: Path | None,
    dry_run: bool,
    json_file: Path | None,
    **told: Any,
) -> None:
    """Say what a job would be given: GPUs, nodes, micro-batch, strategy, cards, memory and time, and why.

    The crowd's recommendation and the forecast of the task's memory are put together; the batch size stays what it is.
    --nodes, --gpus, --card and --topology describe a machine that is not this one.

    \b
    crowdrun plan job.toml
    crowdrun plan resnet-50 --gpus 4 --card 24GB
    crowdrun plan gpt2 --nodes 2 --gpus 8 --card 80GB --on slurm --dry-run
    """
    elsewhere = node_count is not None or topology is not None or (bool(told["gpus"]) and told["card"] is not None)
    each = told["gpus"]
    if topology and each is None:
        each = _linked(topology).count or None
    if elsewhere and each:
        told["gpus"] = (node_count or 1) * each
    asked = job_of(named(job), told)
    launcher = LAUNCHERS[place]()
    if elsewhere:
        described = _described(launcher.machine(), asked, each, node_count or 1, topology)
        launcher.machine = lambda: described  # type: ignore[method-assign]
    said = Console(stderr=json_file is not None and str(json_file) == "-", highlight=False)
    record = plan_run(
        asked,
        launcher,
        recommender(settings, told),
        settings.runs_dir / "RUN",
        forecasting(settings, always=True, say=lambda line: click.echo(f"crowdrun: {line}", err=True)),
    )
    show_plan(record, said)
    show_planned(record.plan, asked, said)
    if dry_run:
        click.echo(launcher.text(first_attempt(asked, record)), nl=False)
    if json_file:
        write_json(json_file, asdict(record))


def _linked(topology: Path) -> NodeCards:
    return parse_links(topology.read_text("utf-8", "replace"))


def _described(machine: Machine, job: Job, each: int | None, nodes: int, topology: Path | None) -> Machine:
    """The machine that the options describe, in place of the cards that are there."""
    linked = _linked(topology) if topology else NodeCards(count=each or 0)
    if not linked.count:
        wrong = f"{topology} is not what `nvidia-smi topo --matrix` prints"
        raise ConfigError(wrong if topology else "--nodes is of how many nodes; say with --gpus what each has")
    if each is not None and each > linked.count:
        raise ConfigError(f"--gpus is {each}, but {topology} shows {linked.count}")
    node = replace(linked, card_mb=job.resources.card_mb)
    return replace(machine, nodes=(node,) * nodes, gpus=linked.count * nodes)
