"""How a part of the crowd is set: a frozen record beside its owner, with the range that a search may look through.

>>> @dataclass(frozen=True, kw_only=True)
... class TreeSettings(PartSettings):
...     depth: int = searched(5, 2, 9)
...     penalty: float = searched(1.0, 0.1, 10.0, log=True)
>>> TreeSettings(depth=7).to_json(), ranges(TreeSettings)["depth"]
({'depth': 7, 'penalty': 1.0}, Range(low=2, high=9, log=False))
>>> TreeSettings.from_json({"depth": -1})
Traceback (most recent call last):
...
crowdrun.data.errors.ConfigError: TreeSettings.depth is -1; it must be a whole number above 0
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

from crowdrun.data.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Range:
    """Where a search may look, both ends included."""

    low: float
    high: float
    #: Steps are factors, not amounts.
    log: bool = False


def searched(default: float, low: float, high: float, *, log: bool = False) -> Any:
    """A field of a record of settings, with the range of its search."""
    return field(default=default, metadata={"range": Range(low=low, high=high, log=log)})


@dataclass(frozen=True, kw_only=True)
class PartSettings:
    """Base of the records; every field is a number above 0, whole where its default is."""

    def __post_init__(self) -> None:
        for each in fields(self):
            value, whole = getattr(self, each.name), isinstance(each.default, int)
            if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or not value > 0:
                kind = "whole number" if whole else "number"
                raise ConfigError(f"{type(self).__name__}.{each.name} is {value!r}; it must be a {kind} above 0")

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The record with these fields, the others at their defaults.

        Raises:
            ConfigError: a field that is not known, or a value that is not allowed.
        """
        known = [each.name for each in fields(cls)]
        unknown = sorted(values.keys() - set(known))
        if unknown:
            raise ConfigError(f"{cls.__name__} has no {', '.join(unknown)}; it has {', '.join(known)}")
        return cls(**values)


def ranges(kind: type[PartSettings]) -> dict[str, Range]:
    """Field -> where to look, for those that can be searched."""
    return {each.name: each.metadata["range"] for each in fields(kind) if "range" in each.metadata}
