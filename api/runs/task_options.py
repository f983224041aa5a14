"""The [options] of a task on the command line: `--option KEY=VALUE`."""

import json
from collections.abc import Sequence
from typing import Any

from crowdrun.data.errors import ConfigError


def task_options(pairs: Sequence[str]) -> dict[str, Any]:
    """The table that they make; a value is JSON, or a text.

    Raises:
        ConfigError: one is not KEY=VALUE.

    >>> task_options(("layers=100", "checkpoint=true", "data=/scratch/mnist"))
    {'layers': 100, 'checkpoint': True, 'data': '/scratch/mnist'}
    """
    found = {}
    for pair in pairs:
        key, sign, value = pair.partition("=")
        if not sign or not key:
            raise ConfigError(f"--option {pair!r} is not KEY=VALUE")
        try:
            found[key] = json.loads(value)
        except ValueError:
            found[key] = value
    return found
