"""JSON that a command writes where `--json` says: into a file, whole or not at all, or to standard output."""

import json
from pathlib import Path
from typing import Any

import click

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import OutputError


def write_json(file: Path, content: Any, *, option: str = "--json") -> None:
    """`content` as JSON; `-` is standard output. What JSON does not know is written as its text.

    Raises:
        OutputError: it cannot be written; `option` is what names another place.
    """
    text = json.dumps(content, indent=2, default=str) + "\n"
    if str(file) == "-":
        click.echo(text, nl=False)
        return
    try:
        file.absolute().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(file.absolute(), text.encode())
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}; give {option} another place") from error
