"""`crowdrun config`: each setting, its value, and where the value came from."""

import json
import re

import click

from crowdrun.api.options import settings_options
from crowdrun.data.settings import SETTINGS, Settings


@click.command()
@settings_options("home", "store", "url", "risk", "traces")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(settings: Settings, as_json: bool) -> None:
    """Show each setting, its value and where the value came from.

    An option goes before the environment, the environment before crowdrun.toml, and that before the default.
    """
    rows = [(setting, getattr(settings, setting.name), settings.origins[setting.name]) for setting in SETTINGS]
    if as_json:
        table = {s.name: {"value": _plain(value), "from": origin, "what": s.doc} for s, value, origin in rows}
        click.echo(json.dumps(table, indent=2))
        return
    name_width = max(len(setting.name) for setting in SETTINGS)
    width = max(len(str(_plain(value))) for _, value, _ in rows)
    for setting, value, origin in rows:
        click.echo(f"{setting.name:{name_width + 2}}{_plain(value)!s:{width + 2}}from {origin}: {setting.doc}")


def _plain(value: object) -> object:
    """The value as JSON has it, the password of a store's address hidden."""
    if value is None or isinstance(value, float):
        return value
    return re.sub(r"(://[^:/@]*):[^/@]*@", r"\1:***@", str(value))
