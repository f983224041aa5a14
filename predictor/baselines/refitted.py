"""The contract of a method that learns from all jobs at once and is fitted anew now and then, as the crowd is."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import ClassVar

import numpy as np

from crowdrun.predictor.features import Features
from crowdrun.predictor.learning_log import LearningLog, in_end_order
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.target_model import FEWEST_JOBS


class Refitted(ABC):
    """A method that others published, over all jobs of a log."""

    name: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    @abstractmethod
    def fit(self, features: Features, value_log2: Array) -> None:
        """Learn from scratch from n ended jobs, oldest end first. value_log2: (n,) log2 of the target."""

    @abstractmethod
    def predict(self, features: Features) -> Array:
        """Log2 of the target: (n, len(LEVELS)) where it says a distribution, else (n, 1)."""


def play_refitted(
    log: LearningLog, features: Features, value_log2: Array, methods: Mapping[str, type[Refitted]], *, refits: int,
    seed: int, progress: Callable[[float], None] | None = None,
) -> dict[str, Array]:  # fmt: skip
    """What each method says of each job, (n, levels or 1) log2; NaN before there was enough to learn from.

    Blocks of submissions are predicted by a method fitted on what had ended when the block began, as `replay` does.
    """
    said: dict[str, Array] = {}
    fitted: dict[str, Refitted] = {}
    step = max(1, -(-len(log) // refits))
    labelled = ~np.isnan(value_log2)
    for start in range(0, len(log), step):
        ended = in_end_order(log, np.flatnonzero(labelled & (log.end_time <= log.submit_time[start])))
        block = slice(start, start + step)
        for name, method in methods.items():
            if len(ended) >= FEWEST_JOBS:
                fitted[name] = method(seed)
                fitted[name].fit(features.rows(ended), value_log2[ended])
            if name in fitted:
                predicted = fitted[name].predict(features.rows(block))
                said.setdefault(name, np.full((len(log), predicted.shape[1]), np.nan))[block] = predicted
        if progress:
            progress(min(1.0, (start + step) / len(log)))
    return {name: said.get(name, np.full((len(log), 1), np.nan)) for name in methods}
