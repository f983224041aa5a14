"""`crowdrun token`: make, list and revoke the tokens with which programs and people ask the service."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime

import click

from crowdrun.api.options import settings_options
from crowdrun.api.serving.tokens import TokenFile
from crowdrun.data.roles import Role
from crowdrun.data.settings import Settings

DAY_S = 86_400.0


@click.group()
def command() -> None:
    """Make, list and revoke tokens.

    \b
    submit    predictions for the jobs of one user, and what is known of these jobs
    operator  everything of a cluster: all jobs, outcomes, reports, models, retraining
    admin     also publishing a model without a contest
    """


@command.command("create")
@settings_options("home")
@click.argument("user")
@click.option(
    "--role",
    type=click.Choice([role.value for role in Role]),
    default="submit",
    show_default=True,
    help="What it allows.",
)
@click.option(
    "--days", type=click.FloatRange(min=0, min_open=True), help="Days for which it holds; else until revoked."
)
def create(settings: Settings, user: str, role: str, days: float | None) -> None:
    """Make a token for USER and print it, this once: only its hash is kept.

    USER is the name on the cluster; a token of the role submit speaks for the jobs of this user alone. Programs of
    crowdrun find it in CROWDRUN_TOKEN.
    """
    expires = time.time() + days * DAY_S if days else None
    token, text = TokenFile.of(settings).create(user, Role(role), expires=expires)
    click.echo(text)
    click.echo(
        f"crowdrun: token {token.id} for {user}, role {role}, {_until(expires)}; it is not shown again", err=True
    )


@command.command("list")
@settings_options("home")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def list_command(settings: Settings, as_json: bool) -> None:
    """List the tokens that were made and not revoked, oldest first; never the tokens themselves."""
    tokens = TokenFile.of(settings).list()
    if as_json:
        told = [{name: value for name, value in asdict(token).items() if name != "sha256"} for token in tokens]
        click.echo(json.dumps(told, indent=2))
        return
    for token in tokens:
        click.echo(f"{token.id}  {token.role:<8}  {token.user}  made {_day(token.made)}, {_until(token.expires)}")


@command.command("revoke")
@settings_options("home")
@click.argument("token_id")
def revoke(settings: Settings, token_id: str) -> None:
    """Make the token with this id worthless; a service that runs refuses it from the next request on."""
    TokenFile.of(settings).revoke(token_id)
    click.echo(f"revoked {token_id}")


def _until(expires: float | None) -> str:
    if expires is None:
        return "until it is revoked"
    return f"{'expired' if time.time() >= expires else 'until'} {_day(expires)}"


def _day(when: float) -> str:
    return f"{datetime.fromtimestamp(when, UTC):%Y-%m-%d %H:%M} UTC"
