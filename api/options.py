"""Command-line options that several subcommands share; each overrides the environment and `crowdrun.toml`."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from crowdrun.data.settings import SETTINGS, load_settings

Function = Callable[..., Any]


def settings_options(*names: str) -> Callable[[Function], Function]:
    """Add `--NAME` for each named setting, and call the function with `settings=` the values in force.

    >>> @click.command()
    ... @settings_options("home", "risk")
    ... def command(settings):
    ...     return settings.risk, settings.origins["risk"]
    >>> command.main(["--risk", "0.2"], standalone_mode=False)
    (0.2, 'option --risk')
    """
    chosen = [setting for setting in SETTINGS if setting.name in names]

    def decorate(function: Function) -> Function:
        @wraps(function)
        def call(*arguments: Any, **options: Any) -> Any:
            given = {setting.name: options.pop(f"setting_{setting.name}") for setting in chosen}
            return function(*arguments, settings=load_settings(given), **options)

        for setting in reversed(chosen):
            line = f"{setting.doc} ({setting.variable})"
            name = f"--{setting.name.replace('_', '-')}"
            kind: dict[str, Any] = {"is_flag": True, "default": None} if setting.is_switch else {"metavar": "VALUE"}
            call = click.option(name, f"setting_{setting.name}", help=line, **kind)(call)
        return call

    return decorate
