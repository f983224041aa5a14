"""The two kinds of data set of the built-in tasks: held in memory, or made when it is asked for."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils.data import Dataset

Sample = tuple[Tensor, ...]


class Samples(Dataset[Sample], ABC):
    """A map-style data set that says where its samples come from."""

    #: A few words for the screen and the record of the run.
    source: str

    @abstractmethod
    def __len__(self) -> int:
        """How many there are."""


class InMemory(Samples):
    """Samples that are rows of tensors.

    >>> len(InMemory("made up", torch.zeros(5, 2), torch.zeros(5)))
    5
    """

    def __init__(self, source: str, *tensors: Tensor) -> None:
        self.source, self.tensors = source, tensors

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int) -> Sample:
        return tuple(tensor[index] for tensor in self.tensors)


class Generated(Samples):
    """Samples made one at a time: sample `index` is the same at each call and on each rank.

    >>> noise = Generated("noise", 3, seed=1, make=lambda index, random: (torch.rand(2, generator=random),))
    >>> bool((noise[2][0] == noise[2][0]).all()), bool((noise[1][0] == noise[2][0]).all())
    (True, False)
    """

    def __init__(self, source: str, size: int, *, seed: int, make: Callable[[int, torch.Generator], Sample]) -> None:
        self.source, self._size, self._seed, self._make = source, size, seed, make

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self._size:
            raise IndexError(index)
        return self._make(index, torch.Generator().manual_seed(self._seed * 1_000_003 + index))
