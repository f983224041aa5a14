"""The learning rate for a batch of another size than the one it was chosen for.

linear: as many times larger as the batch, after steps in which it grows from what it was (Goyal et al., "Accurate,
large minibatch SGD: training ImageNet in 1 hour", 2017). sqrt: the root of that (Krizhevsky, "One weird trick", 2014,
and for optimisers like Adam, Malladi et al., 2022). none: as it is.

>>> options = TrainingOptions(batch_size=256, tuned_batch_size=64, rate_rule="linear", warmup_steps=3)
>>> [factor(options, step) for step in range(5)]
[1.0, 2.0, 3.0, 4.0, 4.0]
"""

import math

from torch.optim import Optimizer

from crowdrun.data.task import TrainingOptions


def factor(options: TrainingOptions, step: int) -> float:
    """By what the learning rate is multiplied in step 0, 1, …"""
    larger = options.batch_size / (options.tuned_batch_size or options.batch_size)
    full = {"none": 1.0, "linear": larger, "sqrt": math.sqrt(larger)}[options.rate_rule]
    return full if step >= options.warmup_steps else 1.0 + (full - 1.0) * step / options.warmup_steps


class LearningRate:
    """Sets the rate of an optimiser's groups before each step."""

    def __init__(self, optimizer: Optimizer, options: TrainingOptions) -> None:
        self._optimizer, self._options = optimizer, options
        self._own = [group["lr"] for group in optimizer.param_groups]

    def before_step(self, step: int) -> None:
        """The rate of step 0, 1, …; a task's own schedule is not touched where no rule is named."""
        if self._options.rate_rule != "none":
            for group, rate in zip(self._optimizer.param_groups, self._own, strict=True):
                group["lr"] = rate * factor(self._options, step)
