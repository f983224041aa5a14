"""Tensors without memory: plain CPU tensors, all of them over one reserved range of addresses that is never touched.

A tensor of torch's FakeTensorMode costs 0.2 to 0.6 ms an operation in Python, which is minutes for a network of 16,000
layers. A phantom is an ordinary tensor (its views, its autograd and its device are torch's own) whose storage points
into a range that the kernel has only promised (`mmap`, MAP_NORESERVE). Nothing is computed on it, so no page is taken.
"""

import math
import mmap
from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from crowdrun.data.errors import ForecastError

#: Tried from above; a limit on the address space (`ulimit -v`) or strict overcommit refuses the larger ones.
_RESERVED_BYTES = [1 << power for power in range(44, 27, -2)]
#: Linux's MAP_NORESERVE (`man mmap`), which Python names from 3.12 on.
_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
#: Storages begin at changing places, so that two live ones hardly ever have the same address.
_STEP_BYTES, _STEPS = 64, 1 << 16


class PhantomMemory:
    """Makes phantoms, and tells them from tensors that hold values.

    >>> memory = PhantomMemory()
    >>> ghost = memory.tensor((1024, 1024, 1024), None, torch.float32)
    >>> ghost.untyped_storage().nbytes() == 4 * 2**30, memory.holds(ghost), memory.holds(torch.ones(2))
    (True, True, False)
    """

    def __init__(self) -> None:
        self._range = _reserved()
        self._room = len(self._range) - _STEP_BYTES * _STEPS
        self._begin = torch.frombuffer(self._range, dtype=torch.uint8, count=1).data_ptr()
        self._end = self._begin + len(self._range)
        self._made = 0

    def tensor(
        self, size: Sequence[int], stride: Sequence[int] | None, dtype: torch.dtype, stored: int | None = None
    ) -> Tensor:
        """A phantom on a storage of its own, of `stored` elements, or as many as it needs.

        Raises:
            ForecastError: one tensor alone is larger than the addresses that this process may reserve.
        """
        count = math.prod(size) if stored is None else stored
        if count == 0:
            return torch.empty(size, dtype=dtype)
        if count * dtype.itemsize > self._room:
            raise ForecastError(
                f"a tensor of {count * dtype.itemsize / 2**30:.1f} GiB is larger than the address space that this "
                f"process may reserve ({self._room / 2**30:.1f} GiB); raise `ulimit -v`, or make the batch smaller"
            )
        self._made += 1
        flat = torch.frombuffer(self._range, dtype=dtype, count=count, offset=self._made % _STEPS * _STEP_BYTES)
        if stride is None and stored is None:
            return flat.view(size)
        return flat.as_strided(size, stride or _contiguous(size))

    def holds(self, tensor: Tensor) -> bool:
        """Whether the tensor is a phantom, which has no values."""
        return self._begin <= tensor.data_ptr() < self._end


def _contiguous(size: Sequence[int]) -> list[int]:
    """
    >>> _contiguous((2, 3, 4))
    [12, 4, 1]
    """
    strides, step = [], 1
    for length in reversed(size):
        strides.append(step)
        step *= max(length, 1)
    return strides[::-1]


@cache
def _reserved() -> mmap.mmap:
    """One range for all traces of a process, also those that are not yet collected: there is only room for a few."""
    for size in _RESERVED_BYTES:
        try:
            return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NORESERVE)
        except (OSError, ValueError, OverflowError):
            continue
    raise ForecastError(f"this process may not reserve {_RESERVED_BYTES[-1] >> 20} MiB of addresses; raise `ulimit -v`")
