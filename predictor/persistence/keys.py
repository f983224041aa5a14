"""Keys of relations as JSON, which knows no tuples."""

import json
from collections.abc import Iterable
from pathlib import Path

from crowdrun.data.errors import ModelError
from crowdrun.predictor.history import Key


def write_keys(file: Path, keys: Iterable[Key]) -> None:
    """A list of keys, in their order."""
    file.write_text(json.dumps(list(keys), separators=(",", ":")), "utf-8")


def read_keys(file: Path) -> list[Key]:
    """The keys that `write_keys` wrote.

    Raises:
        ModelError: the file is missing or cannot be read.
    """
    try:
        return [_key(key) for key in json.loads(file.read_text("utf-8"))]
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"cannot read {file}: {error}; publish the model anew") from error


def _key(parts: list[object]) -> Key:
    return tuple(tuple(part) if isinstance(part, list) else part for part in parts)
