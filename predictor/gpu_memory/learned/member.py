"""What corrects the line: learns the logarithm of measured / said, from how a step is made up."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.gpu_memory.learned.features import Array


class Member(ABC):
    """One of the crowd. What applies it needs numpy alone."""

    name: ClassVar[str]

    @classmethod
    @abstractmethod
    def fit(cls, shares: Array, log_ratio: Array) -> Self:
        """Learn from (n, k) `shares` and the (n,) logarithm of measured MB / the line's MB."""

    @abstractmethod
    def log_ratio(self, shares: Array) -> Array:
        """(n,) of (n, k)."""

    @abstractmethod
    def arrays(self) -> Mapping[str, NDArray[np.generic]]:
        """What `from_arrays` needs, as arrays that numpy writes without pickle."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, Any]) -> Self:
        """The member again."""
