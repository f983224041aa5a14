"""The argument and options of every subcommand that reads a log."""

from collections.abc import Callable
from typing import Any

import click

from crowdrun.data.reading import AUTO
from crowdrun.data.sources.registry import READERS

Function = Callable[..., Any]


def log_options(function: Function) -> Function:
    """Add LOG, --format and --timezone: the arguments `log`, `log_format` and `timezone`."""
    options = (
        click.argument("log"),
        click.option(
            "--format",
            "log_format",
            type=click.Choice([AUTO, *READERS]),
            default=AUTO,
            show_default=True,
            help="The log's format; auto recognises it by its content.",
        ),
        click.option(
            "--timezone",
            default="UTC",
            show_default=True,
            help="Time zone of times that are written without one (sacct): like Europe/Berlin.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function
