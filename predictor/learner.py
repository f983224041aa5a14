"""The contract of a member of the crowd.

A learner sees features that were known at submit time and log2 of a target, and predicts the whole distribution of log2
of that target, as quantiles at `quantiles.LEVELS`. Every learner passes `tests/predictor/test_learner_contract.py`.

A crowd has a member of each kind for each target. How one is asked is written once, for the members of all targets
together (`Joint`): one of them alone is the same with one target.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from crowdrun.predictor.features import Features
from crowdrun.predictor.panel import Panel
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.settings import PartSettings

#: Jobs that are predicted at once: what a member needs for them stays small.
_BLOCK = 512


class Joint(ABC):
    """Members of one kind, one for each target, asked at once. It is made anew when one of them learns."""

    @abstractmethod
    def predict(self, panel: Panel) -> Array:
        """Quantiles of log2 of the targets: (rows of the panel, len(LEVELS)), finite, non-decreasing along each row."""


class Learner(ABC):
    """One member. Made with a seed and settings; the same seed, settings and data give the same predictions."""

    name: ClassVar[str]
    #: The module that `fit` imports, and `load` and `predict` never do: a server stays small and starts quickly.
    fits_with: ClassVar[str | None] = None
    #: `update` teaches it something.
    learns_online: ClassVar[bool] = False
    #: The record of its settings.
    settings_type: ClassVar[type[PartSettings]] = PartSettings

    def __init__(self, seed: int = 0, settings: PartSettings | None = None) -> None:
        self.seed = seed
        self.settings = settings or self.settings_type()

    @abstractmethod
    def fit(self, features: Features, target: Array) -> None:
        """Learn from scratch. target: (n,) log2 of the measured value, n >= 1, all finite.

        Rows are in the order in which the jobs ended, oldest first.
        """

    @classmethod
    @abstractmethod
    def joint(cls, members: Sequence[Any]) -> Joint:
        """Members of this class that were fitted, of different targets, as one."""

    def predict(self, features: Features) -> Array:
        """Quantiles of log2 of the target: (n, len(LEVELS)), finite, non-decreasing along each row.

        Features may hold users, names and gaps that were never seen in `fit`.
        """
        alone = self.joint([self])
        blocks = [features.rows(slice(start, start + _BLOCK)) for start in range(0, len(features), _BLOCK)]
        said = [alone.predict(Panel.of(block)) for block in blocks]
        return np.concatenate(said) if said else np.empty((0, len(LEVELS)))

    def update(self, features: Features, target: Array) -> None:  # noqa: B027
        """Learn from a few more jobs without starting anew; a learner that cannot does nothing."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what `load` needs into an existing, empty folder: npz or JSON, never pickle."""

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        """The learner that `save` wrote, with the settings that it was made with; it predicts the same within 1e-3
        of log2.

        Needs numpy alone: neither scikit-learn, xgboost nor torch is imported.

        Raises:
            ModelError: a file is missing or cannot be read.
        """
