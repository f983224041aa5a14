"""From a training task to the program that is traced: its functions, and a batch like those of its data set.

Three samples are read for real and put together in twos and in threes; what differs between the two is the batch's
dimension, and a batch of any size is made from it without reading more.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch.utils.data import default_collate

from crowdrun.data.errors import ForecastError
from crowdrun.data.task import TrainingOptions, TrainingTask
from crowdrun.predictor.gpu_memory.program import Program


def task_program(task: TrainingTask, options: TrainingOptions, *, micro_batch: int, training: bool = True) -> Program:
    """The task with batches of `micro_batch` samples.

    Raises:
        ForecastError: its data set cannot be put into batches.
    """
    double = options.precision == "fp64"

    def model() -> Module:
        made = task.model(options)
        return made.double() if double else made

    return Program(
        model=model,
        batch=batch_maker(task.data("train", options), micro_batch, double=double),
        loss=task.loss,
        optimizer=(lambda made: task.optimizer(made, options)) if training else None,
    )


def batch_maker(samples: Any, micro_batch: int, *, double: bool = False) -> Callable[[], Any]:
    """Makes batches that look like those of the data set, with `micro_batch` samples and no values.

    >>> data = [(torch.zeros(3, 8), 1), (torch.zeros(3, 8), 0)]
    >>> images, labels = batch_maker(data, 64)()
    >>> images.shape, labels.shape, labels.dtype
    (torch.Size([64, 3, 8]), torch.Size([64]), torch.int64)
    """
    if not len(samples):
        raise ForecastError("the data set has no samples to see the shape of a batch from; give it at least one")
    drawn = [samples[number % len(samples)] for number in range(3)]
    two, three = default_collate(drawn[:2]), default_collate(drawn)
    return lambda: _like(two, three, micro_batch, double)


def _like(two: Any, three: Any, micro_batch: int, double: bool) -> Any:
    if isinstance(two, Tensor):
        dtype = torch.float64 if double and two.is_floating_point() else two.dtype
        return torch.empty(_shape(two.shape, three.shape, micro_batch), dtype=dtype)
    if isinstance(two, dict):
        return {key: _like(two[key], three[key], micro_batch, double) for key in two}
    if isinstance(two, list | tuple) and len(two) == len(three):
        return [_like(one, other, micro_batch, double) for one, other in zip(two, three, strict=True)]
    return two


def _shape(two: Sequence[int], three: Sequence[int], micro_batch: int) -> list[int]:
    return [length if length == other else length * micro_batch // 2 for length, other in zip(two, three, strict=True)]
