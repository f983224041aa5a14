"""How often the state of a training is kept, and how much of it: the [checkpoint] table of a job file.

>>> CheckpointOptions(every_steps=100).keep
2
>>> checkpoint_options(False) is None
True
>>> checkpoint_options({"keep": 0})
Traceback (most recent call last):
...
crowdrun.data.errors.ConfigError: keep is 0; it must be a whole number of 1 or more
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from crowdrun.data.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """When the state is saved; beside that it is at the end, and when the run is told to stop."""

    #: The age of the newest, s, at which the next is due; None leaves it to `every_steps`.
    every_s: float | None = 300.0
    #: Steps between two; None leaves it to `every_s`.
    every_steps: int | None = None
    #: The newest that stay.
    keep: int = 2

    def __post_init__(self) -> None:
        age = self.every_s
        if age is not None and not (isinstance(age, int | float) and not isinstance(age, bool) and age > 0):
            raise ConfigError(f"every_s is {age!r}; it must be a number of seconds above 0")
        for name in ("every_steps", "keep"):
            value = getattr(self, name)
            if value is None and name == "every_steps":
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} is {value!r}; it must be a whole number of 1 or more")


def checkpoint_options(value: Any) -> CheckpointOptions | None:
    """What `checkpoint = …` of a job file says: a table, true, or false for none at all.

    Raises:
        ConfigError: it is none of these, or holds a key or value that is not allowed; says which.
    """
    if value is False:
        return None
    table = {} if value is True else value
    if not isinstance(table, Mapping):
        raise ConfigError(f"checkpoint is {value!r}; it must be a table [checkpoint], or false for no checkpoints")
    allowed = [f.name for f in fields(CheckpointOptions)]
    unknown = sorted(table.keys() - set(allowed))
    if unknown:
        raise ConfigError(f"{', '.join(unknown)} is no key of [checkpoint]; allowed are {', '.join(sorted(allowed))}")
    return CheckpointOptions(**table)
