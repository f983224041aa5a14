"""Ridge regression of the value, and of how far off it is: a location and a scale, with the errors' own quantiles."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import Features
from crowdrun.predictor.learner import Joint, Learner
from crowdrun.predictor.learners.scaling import Scaling, Scalings
from crowdrun.predictor.panel import Panel
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.settings import PartSettings, searched

#: Errors below this many log2 are not told apart (3.5%).
SMALLEST_ERROR_LOG2 = 0.05


@dataclass(frozen=True, kw_only=True)
class LinearSettings(PartSettings):
    #: Weight of the squared coefficients.
    penalty: float = searched(30.0, 1.0, 1000.0, log=True)


class Linear(Learner):
    name = "linear"
    settings_type = LinearSettings
    settings: LinearSettings
    fits_with = "sklearn.linear_model"

    def fit(self, features: Features, target: Array) -> None:
        from sklearn.linear_model import Ridge

        self._scaling = Scaling.of(features)
        columns = _with_one(self._scaling.apply(features))
        self._location = Ridge(self.settings.penalty, fit_intercept=False).fit(columns, target).coef_
        error = target - columns @ self._location
        size = np.log(np.abs(error) + SMALLEST_ERROR_LOG2)
        self._scale = Ridge(self.settings.penalty, fit_intercept=False).fit(columns, size).coef_
        self._shape = np.quantile(error / np.exp(columns @ self._scale), LEVELS)

    @classmethod
    def joint(cls, members: Sequence[Self]) -> Joint:
        return _Lines(members)

    def save(self, folder: Path) -> None:
        np.savez(
            folder / "linear.npz", location=self._location, scale=self._scale, shape=self._shape,
            **self._scaling.arrays(),  # type: ignore[arg-type]
        )  # fmt: skip

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        arrays = load_arrays(folder / "linear.npz")
        learner = cls(settings=settings)
        learner._scaling = Scaling.from_arrays(arrays)
        learner._location, learner._scale, learner._shape = (
            arrays[name].astype(np.float64) for name in ("location", "scale", "shape")
        )
        return learner


def _with_one(columns: Array) -> Array:
    return np.hstack([columns, np.ones((len(columns), 1))])


class _Lines(Joint):
    def __init__(self, members: Sequence[Linear]) -> None:
        self._scalings = Scalings([member._scaling for member in members])
        lines = [np.column_stack([member._location, member._scale]) for member in members]
        # The last coefficient is that of the 1.
        self._weights = np.stack(
            [self._scalings.spread_out(line[:-1], m._scaling) for line, m in zip(lines, members, strict=True)]
        )
        self._start = np.stack([line[-1:] for line in lines])
        self._shape = np.stack([member._shape for member in members])[:, None]

    def predict(self, panel: Panel) -> Array:
        location, size = np.moveaxis(self._scalings.apply(panel) @ self._weights + self._start, 2, 0)
        # exp of a line can run away on a job unlike all others: no error of more than 2^6 is believed.
        scale = np.minimum(np.exp(size), 6.0)
        said: Array = location[..., None] + scale[..., None] * self._shape
        return said.reshape(len(panel), -1)
