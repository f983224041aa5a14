"""The optimisers that the built-in tasks know by name."""

from collections.abc import Callable, Mapping
from functools import partial

from torch import optim
from torch.nn import Module
from torch.optim import Optimizer

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import TrainingOptions

OPTIMIZERS: Mapping[str, Callable[..., Optimizer]] = {
    "sgd": partial(optim.SGD, momentum=0.9),
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
}


def by_name(model: Module, options: TrainingOptions) -> Optimizer:
    """The optimiser that the options name, over all parameters.

    Raises:
        ConfigError: it is none of the table.
    """
    if options.optimizer not in OPTIMIZERS:
        raise ConfigError(f"optimizer is {options.optimizer!r}; it must be one of {', '.join(OPTIMIZERS)}")
    return OPTIMIZERS[options.optimizer](model.parameters(), lr=options.learning_rate)
