"""`crowdrun bench gpu-memory`: forecasts of GPU memory beside what a card measured, here or elsewhere."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crowdrun.api.json_file import write_json
from crowdrun.api.options import settings_options
from crowdrun.api.progress import progress_bar
from crowdrun.data.errors import NotEnoughDataError
from crowdrun.data.settings import Settings
from crowdrun.training.planning.measured_cards import measured_runs

if TYPE_CHECKING:
    from crowdrun.predictor.evaluation.gpu_memory.timm_bench import TimmSteps

#: Exit status where there is no GPU to measure on: nothing was measured, which is no error of the bench.
NO_GPU = 2
_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command("gpu-memory")
@settings_options("home", "risk")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path(), help="Folder for the result.")
@click.option("--timm", type=_FILE, metavar="FILE", help="Judge on these measurements of timm's models, without a GPU.")
@click.option("--gpumemnet", type=_FILE, metavar="FILE", help="Judge on these generated networks, without a GPU.")
@click.option("--runs", is_flag=True, help="Judge on the runs of crowdrun run that this home has, and learn from them.")
@click.option("--cache", type=_FILE, help="--timm: keep what was traced here, and go on from it.")
@click.option("--cached-alone", is_flag=True, help="--timm: judge the models of the cache, and trace no others.")
@click.option("--models", type=click.IntRange(min=50), help="--timm: so many models, drawn at random, instead of all.")
@click.option("--seed", default=0, show_default=True, help="--timm: of that draw.")
@click.option("--save", type=_FILE, metavar="FILE", help="--timm, --runs: write what was learned, for --correction.")
@click.option(
    "--plot", type=_FILE, metavar="FILE", help="--timm: how far off each way is, as curves: .svg, .png or .pdf."
)
@click.option("--json", "json_file", type=_FILE, help="Write every figure here.")
def gpu_memory(
    settings: Settings,
    out: Path,
    timm: Path | None,
    gpumemnet: Path | None,
    runs: bool,
    cache: Path | None,
    cached_alone: bool,
    models: int | None,
    seed: int,
    save: Path | None,
    plot: Path | None,
    json_file: Path | None,
) -> int:
    """Hold forecasts of GPU memory against measurements: this machine's GPU's, those of runs, or a public table's.

    Without --timm, --gpumemnet and --runs this machine's GPU is measured, and gpu-memory-CARD.json written. Without a
    GPU nothing is measured then, and the exit status is 2.
    """
    for name, value in {"--cache": cache, "--cached-alone": cached_alone, "--models": models, "--plot": plot}.items():
        if value and timm is None:
            raise click.UsageError(f"{name} goes with --timm")
    if save and timm is None and not runs:
        raise click.UsageError("--save goes with --timm or --runs")
    if (timm is not None) + (gpumemnet is not None) + runs > 1:
        raise click.UsageError("give one of --timm, --gpumemnet and --runs")
    if runs:
        return _runs(settings, save, json_file)
    if timm is not None:
        from crowdrun.predictor.evaluation.gpu_memory.timm_bench import timm_steps

        with progress_bar("bench") as progress:
            steps = timm_steps(
                timm, cache=cache, cached_alone=cached_alone, models=models, seed=seed, progress=progress
            )
        _timm(steps, save, settings.risk, json_file, plot)
        return 0
    if gpumemnet is not None:
        _gpumemnet(gpumemnet, settings.risk, json_file)
        return 0
    return _card(out, settings.risk)


def _timm(steps: "TimmSteps", save: Path | None, risk: float, json_file: Path | None, plot: Path | None) -> None:
    from crowdrun.predictor.evaluation.gpu_memory.error_plot import plot_errors
    from crowdrun.predictor.evaluation.gpu_memory.timm_bench import bench_timm, correction_of

    with progress_bar("bench") as progress:
        found = bench_timm(steps, risk, progress)
    if json_file:
        write_json(json_file, found)
    if save:
        correction_of(steps).save(save)
    if plot:
        plot_errors(found, plot)
    click.echo(
        f"{found['rows']} runs of {found['models']} models in {found['families']} families judged; left out: "
        + ", ".join(f"{count} {reason}" for reason, count in found["filtered"].items())
    )
    click.echo(f"{'':18}{'median':>8}{'p90':>8}{'under':>8}{'margin':>8}   at the same risk: under, margin")
    click.echo(_line("learned", found))
    click.echo(_line("  known families", found["known_families"]))
    for name, rule in found["rules"].items():
        fair = rule["with_margin"]
        click.echo(_line(name, rule) + f"{fair['under']:>12.1%}{fair['median_margin']:>10.0%}")


def _runs(settings: Settings, save: Path | None, json_file: Path | None) -> int:
    """Each run judged by what the others taught, where they are enough."""
    from crowdrun.predictor.evaluation.gpu_memory.own_runs import judge_own
    from crowdrun.predictor.gpu_memory.learned.file import write_device_model
    from crowdrun.predictor.gpu_memory.learned.learning import MeasuredStep, learn_what_can_be

    steps = [
        MeasuredStep(features=run.features, measured_mb=run.card_mb, family=run.task)
        for run in measured_runs(settings.runs_dir)
    ]
    if not steps:
        click.echo(f"crowdrun: no run in {settings.runs_dir} was forecast and measured on a GPU", err=True)
        return NO_GPU
    learned = learn_what_can_be(steps, "learned from the runs here")
    if save:
        write_device_model(learned, save)
    try:
        found = judge_own(steps, settings.risk)
    except NotEnoughDataError as error:
        click.echo(f"{len(steps)} measured runs were learned from, and not judged: without a part of them {error}")
        return 0
    if json_file:
        write_json(json_file, found)
    click.echo(
        f"{found['rows']} measured runs of {found['families']} tasks; left out one by one: median error "
        f"{found['median_error']:.1%}, p90 {found['p90_error']:.1%}, under {found['under']:.1%} at a median margin of "
        f"{found['median_margin']:.1%}"
    )
    return 0


def _line(name: str, found: Mapping[str, Any]) -> str:
    figures = (found["median_error"], found["p90_error"], found["under"], found["median_margin"])
    return f"{name:18}" + "".join(f"{value:>8.1%}" for value in figures)


def _gpumemnet(file: Path, risk: float, json_file: Path | None) -> None:
    from crowdrun.predictor.evaluation.gpu_memory.gpumemnet_bench import bench_gpumemnet

    with progress_bar("bench") as progress:
        found = bench_gpumemnet(file, risk, progress)
    if json_file:
        write_json(json_file, found)
    click.echo(f"{found['rows']} runs that ended, {found['out_of_memory']} that ran out of memory")
    for split, figures in found["splits"].items():
        bins = ", ".join(f"{size} {value:.1%}" for size, value in figures["bins"].items())
        click.echo(
            f"split by {split}: median error {figures['median_error']:.1%}, p90 {figures['p90_error']:.1%}, under "
            f"{figures['under']:.1%} at a median margin of {figures['median_margin']:.1%}; out of memory told with an "
            f"AUC of {figures['auc']}; right bin of {bins}"
        )


def _card(out: Path, risk: float) -> int:
    import torch

    if not torch.cuda.is_available():
        click.echo("crowdrun: there is no GPU at hand that torch can use; nothing was measured", err=True)
        return NO_GPU
    from crowdrun.predictor.gpu_memory import card, card_batches

    name = torch.cuda.get_device_name()
    with progress_bar("bench") as progress:
        measured = list(card.run(lambda done, todo: progress(f"{done} of {todo}", done / todo)))
    found = card.figures(measured, name)
    overhead = card.learn(measured, name)
    found["fit_right"] = card.fit_or_not(measured, overhead)
    with progress_bar("largest batch") as progress:
        largest = card_batches.largest_batches(
            card_batches.asked(), overhead, lambda one, cap: card_batches.runs_on_card(one, cap, overhead),
            risk=risk, total_mb=torch.cuda.mem_get_info()[1] / 2**20,
            progress=lambda done, todo: progress(f"{done} of {todo}", done / todo),
        )  # fmt: skip
    found["largest_batches"] = [asdict(one) | {"share": one.share} for one in largest]
    file = out / f"gpu-memory-{name.lower().replace(' ', '-')}.json"
    write_json(file, found, option="--out")
    for level, value in found["median_error"].items():
        click.echo(f"{level}: median error {value:.1%}, largest {found['largest_error'][level]:.1%}")
    ran, shares = sum(one.ran for one in largest), [one.share for one in largest]
    click.echo(f"largest batch: {ran} of {len(largest)} proposed ran, the least is {min(shares):.0%} of the true one")
    click.echo(f"written to {file}")
    return 0
