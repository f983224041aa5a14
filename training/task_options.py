"""Reads what a built-in task wants to know from the job file's [options], checked.

>>> whole(TrainingOptions(extra={"blocks": 5}), "blocks", 3)
5
>>> whole(TrainingOptions(extra={"blocks": "many"}), "blocks", 3)
Traceback (most recent call last):
...
crowdrun.data.errors.ConfigError: the option blocks is 'many'; it must be a whole number of 1 or more
"""

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import TrainingOptions


def whole(options: TrainingOptions, name: str, default: int, *, least: int = 1) -> int:
    """A whole number of `least` or more.

    Raises:
        ConfigError: it is none.
    """
    value = options.extra.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"the option {name} is {value!r}; it must be a whole number of {least} or more")
    return value


def truth(options: TrainingOptions, name: str, default: bool) -> bool:
    """True or false.

    Raises:
        ConfigError: it is neither.
    """
    value = options.extra.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(f"the option {name} is {value!r}; it must be true or false")
    return value


def text(options: TrainingOptions, name: str) -> str | None:
    """A text, or None where it is not given.

    Raises:
        ConfigError: it is something else.
    """
    value = options.extra.get(name)
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"the option {name} is {value!r}; it must be a text")
    return value
