"""`crowdrun bench`: the crowd beside what others published, on public logs; ways of training beside each other."""

from pathlib import Path

import click

from crowdrun.api.commands.bench_gpu_memory import gpu_memory
from crowdrun.api.commands.bench_training import accuracy, batch, compare, depth, scaling
from crowdrun.api.options import settings_options
from crowdrun.api.progress import progress_bar
from crowdrun.data.settings import Settings
from crowdrun.predictor.evaluation.bench import run
from crowdrun.predictor.evaluation.bench.page import write_json, write_page
from crowdrun.predictor.evaluation.bench.traces import missing


@click.group()
def command() -> None:
    """Compare the crowd with what others published, on public logs, and ways of training on this machine."""


for _bench in (compare, batch, scaling, accuracy, depth, gpu_memory):
    command.add_command(_bench)


@command.command()
@settings_options("traces", "risk")
@click.option("--log", "logs", multiple=True, type=click.Choice(run.LOGS), help="One log alone; may be repeated.")
@click.option(
    "--share", type=click.Choice(list(run.SHARES)), default="all", show_default=True,
    help="The part of each log that is judged: settings are tuned on first60 and reported on last40.",
)  # fmt: skip
@click.option("--json", "json_file", type=click.Path(dir_okay=False, path_type=Path), help="Write every figure here.")
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="Folder for bench.html and bench.json.")
@click.option("--seed", default=0, show_default=True, help="The same seed and logs give the same results.")
def sizing(
    settings: Settings, logs: tuple[str, ...], share: str, json_file: Path | None, out: Path | None, seed: int
) -> None:
    """Replay public logs in time order and judge the crowd and every published method on the same jobs.

    Needs the folder of traces: --traces, or CROWDRUN_TRACES.
    """
    if settings.traces is None or not settings.traces.is_dir():
        found = "no folder is set" if settings.traces is None else f"{settings.traces} is not a folder"
        raise click.UsageError(f"the traces are missing: {found}; give --traces DIR or set CROWDRUN_TRACES")
    chosen = logs or run.LOGS
    lacking = missing(settings.traces, chosen)
    if lacking:
        raise click.UsageError(
            f"the traces are missing: {settings.traces} lacks {', '.join(lacking)}; choose other logs with --log"
        )
    with progress_bar("bench") as progress:
        figures = run.run(settings.traces, logs=chosen, share=share, risk=settings.risk, seed=seed, progress=progress)
    if json_file:
        write_json(figures, json_file)
    if out:
        write_page(figures, out)
    for line in run.table(figures):
        click.echo(line)
