"""`crowdrun models`: list, show, activate, roll back and prune published models."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from crowdrun.api.options import settings_options
from crowdrun.data.errors import ModelError
from crowdrun.data.settings import Settings
from crowdrun.predictor.persistence import registry


@click.group()
def command() -> None:
    """List, show, activate, roll back and prune published models."""


@command.command("list")
@settings_options("home")
def list_command(settings: Settings) -> None:
    """List the published models, oldest first; a star marks the current one.

    Each with when it was made, the jobs that it learnt from, its figures where they were judged (pinball loss in log2,
    share of safe figures that were too small), and what it beat.
    """
    try:
        current = registry.current_id(settings.models_dir)
    except ModelError as error:
        current = ""
        click.echo(f"crowdrun: {error}", err=True)
    for model_id in registry.list_models(settings.models_dir):
        click.echo(f"{'*' if model_id == current else ' '} {model_id}  {_line(settings.models_dir, model_id)}")


def _line(models_dir: Path, model_id: str) -> str:
    try:
        manifest = registry.describe(models_dir, model_id)
    except ModelError as error:
        return f"damaged: {error}"
    summary = manifest.summary
    parts = [f"{datetime.fromisoformat(manifest.made):%Y-%m-%d %H:%M} UTC", f"{summary.get('jobs', 0):,} jobs"]
    for name, figures in summary.get("targets", {}).items():
        parts.append(f"{name} {figures['pinball_log2']} ({figures['safe_failures'] or 0:.1%} too small)")
    return ", ".join([*parts, _beaten(summary.get("retraining", {}))])


def _beaten(retraining: Mapping[str, Any]) -> str:
    better = [name for name, verdict in retraining.get("targets", {}).items() if verdict["outcome"] == "better"]
    return f"beat {retraining['champion']} for {', '.join(better)}" if better else "beat none"


@command.command("show")
@settings_options("home")
@click.argument("model_id", required=False)
def show(settings: Settings, model_id: str | None) -> None:
    """Verify a model (the current one unless named) and print its manifest."""
    model_id = model_id or registry.current_id(settings.models_dir)
    manifest = registry.verify(settings.models_dir, model_id)
    click.echo(json.dumps({"id": model_id, **asdict(manifest)}, indent=2))


@command.command("activate")
@settings_options("home")
@click.argument("model_id")
def activate(settings: Settings, model_id: str) -> None:
    """Make a published model the current one, after it was verified."""
    registry.activate(settings.models_dir, model_id)
    click.echo(f"current is {model_id}")


@command.command("rollback")
@settings_options("home")
def rollback(settings: Settings) -> None:
    """Go back to the model that was current before this one, whether that was published or activated."""
    click.echo(f"current is {registry.roll_back(settings.models_dir)}")


@command.command("prune")
@settings_options("home")
@click.option("--keep", type=click.IntRange(min=1), default=5, show_default=True, help="How many of the newest stay.")
def prune(settings: Settings, keep: int) -> None:
    """Remove old models; the current one always stays."""
    for model_id in registry.prune(settings.models_dir, keep=keep):
        click.echo(f"removed {model_id}")
