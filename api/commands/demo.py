"""`crowdrun demo`: the whole loop on a real log, in a few minutes."""

import click
from rich.console import Console
from rich.table import Table

from crowdrun.api.demo import ASKED_MEM_MB, Demo, Figures
from crowdrun.api.options import settings_options
from crowdrun.data.settings import Settings


@click.command()
@settings_options("home")
def command(settings: Settings) -> None:
    """Show the whole loop: a log in, a crowd that predicts, a job that runs with it, its measurement in the log.

    Everything is kept in the folder `demo` of --home; nothing else is touched.
    """
    console = Console(highlight=False, soft_wrap=True)
    figures = Demo(settings.home / "demo", console).run()
    console.print("\n[bold]The loop in figures[/bold]")
    console.print(_table(figures))
    console.print(f"The report, with plots: file://{figures.report}")


def _table(figures: Figures) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2))
    saved = 1 - figures.recommended_mem_mb / ASKED_MEM_MB
    table.add_row("asked", f"{ASKED_MEM_MB} MB of host memory")
    table.add_row("recommended", f"{figures.recommended_mem_mb:.0f} MB ({saved:.0%} less), by model {figures.model_id}")
    table.add_row("used", f"{figures.used_mem_mb:.0f} MB, measured over the whole process tree")
    table.add_row("ran", f"{figures.run_time_s:.0f} s, to a test accuracy of {figures.test_accuracy:.1%} on 2 ranks")
    table.add_row(
        "learnt", f"{figures.known_before} jobs known before, {figures.known_after} after: the run is in the log"
    )
    table.add_row("took", f"{figures.seconds:.0f} s")
    return table
