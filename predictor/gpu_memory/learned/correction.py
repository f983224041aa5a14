"""The correction of a forecast: a line, a small crowd that corrects it, and margins that hold the promised risk.

A file of arrays; what applies it needs numpy alone. It is learned by `learning.py`.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import ConfigError, ModelError, OutputError
from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.gpu_memory.learned.boosted import Boosted
from crowdrun.predictor.gpu_memory.learned.features import NAMES, Array, shares, table
from crowdrun.predictor.gpu_memory.learned.line import Line
from crowdrun.predictor.gpu_memory.learned.member import Member
from crowdrun.predictor.gpu_memory.learned.nearest import Nearest
from crowdrun.predictor.gpu_memory.learned.spread import Spread

MEMBERS: Mapping[str, type[Member]] = {one.name: one for one in (Boosted, Nearest)}
#: The members together are not believed beyond this factor (of 2).
LARGEST_LOG_RATIO = 0.7


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A `DeviceModel` that was learned."""

    line: Line
    #: The line where nothing of a step is known but what is reserved: less right.
    reserved_line: Line
    members: tuple[Member, ...]
    #: What share of each member's correction is taken.
    weights: tuple[float, ...]
    spread: Spread
    #: (n,) errors of families that were left out, each in units of its expected size, rising.
    scores: Array
    #: Families that they are from: what is off in a family is off in all its steps.
    families: int
    #: Where the measurements are from, for the reader of a forecast.
    basis: str

    def mb(self, rows: Sequence[Mapping[str, float]]) -> Array:
        """(n,) MB of the whole card for the features of steps, at least what is reserved."""
        columns = table(rows)
        corrections = [one.log_ratio(shares(columns)) for one in self.members]
        said = self.line.mb(columns) * np.exp(combined(corrections, self.weights, len(rows)))
        return np.maximum(said, columns["reserved"])

    def margins(self, rows: Sequence[Mapping[str, float]], risk: float) -> Array:
        """(n,) the factors to give on top.

        Split conformal prediction with scores in units of the expected error (Lei, G'Sell, Rinaldo, Tibshirani,
        Wasserman, "Distribution-free predictive inference for regression", JASA 113, 2018). There count as many
        observations as families, and one more, the next family, that is off by more than all.

        Raises:
            ConfigError: the risk is not between 0 and 1.
        """
        if not 0 < risk < 1:
            raise ConfigError(f"the risk is {risk}; it must be above 0 and below 1")
        level = min((1 - risk) * (self.families + 1) / self.families, 1.0)
        place = max(int(np.ceil(level * len(self.scores))) - 1, 0)
        found: Array = np.exp(np.maximum(self.scores[place] * self.spread.of(shares(table(rows))), 0.0))
        return found

    def whole_card_mb(self, features: Mapping[str, float]) -> float:
        if features.keys() == {"reserved"}:
            return float(self.reserved_line.mb(table([features]))[0])
        return float(self.mb([features])[0])

    def margin(self, risk: float, features: Mapping[str, float]) -> float:
        return float(self.margins([features], risk)[0])

    def save(self, file: Path) -> None:
        """Whole or not at all.

        Raises:
            OutputError: the file cannot be written.
        """
        found: dict[str, Any] = {
            "names": np.array(NAMES), "basis": np.array(self.basis), "line": self.line.weights,
            "reserved_line": self.reserved_line.weights,
            "members": np.array([one.name for one in self.members], dtype=np.str_), "weights": np.array(self.weights),
            "scores": self.scores, "families": np.array(self.families), **_named("spread", self.spread.arrays()),
        }  # fmt: skip
        for one in self.members:
            found |= _named(one.name, one.arrays())
        content = io.BytesIO()
        np.savez_compressed(content, **found)
        try:
            write_atomically(file.absolute(), content.getvalue())
        except OSError as error:
            raise OutputError(f"cannot write {file}: {error.strerror}; choose another place") from error

    @classmethod
    def load(cls, file: Path) -> "Correction":
        """
        Raises:
            ModelError: the file is missing, or none that this version can use.
        """
        try:
            arrays = load_arrays(file)
        except ModelError as error:
            why = "holds nothing that was learned of a card" if file.exists() else "is not there"
            raise ModelError(f"{file} {why}; `crowdrun bench gpu-memory` makes one, and `none` goes without") from error
        try:
            if tuple(arrays["names"].tolist()) != NAMES:
                raise ModelError(f"{file} was learned from other features; learn it anew: `crowdrun bench gpu-memory`")
            members = [MEMBERS[str(name)].from_arrays(_of(str(name), arrays)) for name in arrays["members"].tolist()]
            return cls(
                line=Line(arrays["line"].astype(np.float64)),
                reserved_line=Line(arrays["reserved_line"].astype(np.float64)), members=tuple(members),
                weights=tuple(arrays["weights"].astype(np.float64).tolist()),
                spread=Spread.from_arrays(_of("spread", arrays)), scores=arrays["scores"].astype(np.float64),
                families=int(arrays["families"]), basis=str(arrays["basis"]),
            )  # fmt: skip
        except KeyError as error:
            raise ModelError(
                f"{file} is no correction of a forecast: it lacks {error}; learn one: `crowdrun bench gpu-memory`"
            ) from error


def combined(log_ratios: Sequence[Array], weights: Sequence[float], rows: int) -> Array:
    """(rows,) the weighted sum of what the members say."""
    said = np.zeros(rows)
    for weight, values in zip(weights, log_ratios, strict=True):
        said += weight * values
    return np.clip(said, -LARGEST_LOG_RATIO, LARGEST_LOG_RATIO)


def _named(name: str, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    return {f"{name}.{key}": np.asarray(values) for key, values in arrays.items()}


def _of(name: str, arrays: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
    return {key.removeprefix(f"{name}."): values for key, values in arrays.items() if key.startswith(f"{name}.")}
