"""How the crowd of one target is set: its members, the settings of each part, and what is hidden from them.

>>> TargetSettings().members == tuple(LEARNERS), TargetSettings().of("linear").to_json()
(True, {'penalty': 30.0})
>>> chosen = TargetSettings(members=("recent", "linear"), parts={"linear": {"penalty": 3.0}})
>>> TargetSettings.from_json(chosen.to_json()) == chosen, chosen.of("linear").to_json()
(True, {'penalty': 3.0})
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from crowdrun.data.errors import ConfigError
from crowdrun.predictor.calibration import CalibrationSettings
from crowdrun.predictor.family_levels import FamilyLevelsSettings
from crowdrun.predictor.feature_sets import FEATURE_SETS
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.settings import PartSettings
from crowdrun.predictor.weights import WeightsSettings

#: Part -> the record of its settings: every member, and what combines them.
PARTS: dict[str, type[PartSettings]] = {
    **{name: learner.settings_type for name, learner in LEARNERS.items()},
    "weights": WeightsSettings,
    "families": FamilyLevelsSettings,
    "calibration": CalibrationSettings,
}


@dataclass(frozen=True, kw_only=True)
class TargetSettings:
    """Which learners are asked, in their order, and what differs from the defaults.

    Raises:
        ConfigError: a member, part or setting that is not known, or a value that is not allowed.
    """

    members: tuple[str, ...] = tuple(LEARNERS)
    #: Part -> setting -> value.
    parts: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    #: Sets of features that the members do not see.
    hidden: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        unknown = [name for name in self.members if name not in LEARNERS]
        if unknown or not self.members:
            raise ConfigError(f"members are {list(self.members)}; they must be some of {', '.join(LEARNERS)}")
        if not set(self.hidden) <= set(FEATURE_SETS):
            known = ", ".join(FEATURE_SETS)
            raise ConfigError(f"hidden features are {list(self.hidden)}; they must be some of {known}")
        for name in self.parts:
            self.of(name)

    def of(self, part: str) -> Any:
        """The record of one part."""
        if part not in PARTS:
            raise ConfigError(f"there is no part {part!r} to be set; there are {', '.join(PARTS)}")
        return PARTS[part].from_json(self.parts.get(part, {}))

    def to_json(self) -> dict[str, Any]:
        return {
            "members": list(self.members), "parts": {name: dict(values) for name, values in self.parts.items()},
            "hidden": list(self.hidden),
        }  # fmt: skip

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        return cls(members=tuple(values["members"]), parts=values["parts"], hidden=tuple(values.get("hidden", ())))
