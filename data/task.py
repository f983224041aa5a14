"""The typed protocol of a training task: the functions that a task file defines, in plain torch.

A task is a Python file (a module) with these functions at its top level. There is no base class, and nothing in it
knows of ranks: the runner splits the batches, averages the gradients and sums the scores; the GPU-memory estimate
traces the same functions without running them.

>>> TrainingOptions(batch_size=64).precision
'fp32'
>>> TrainingOptions(precision="fp8")
Traceback (most recent call last):
...
crowdrun.data.errors.ConfigError: precision is 'fp8'; it must be one of bf16, fp32, fp64
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from crowdrun.data.errors import ConfigError

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module
    from torch.optim import Optimizer
    from torch.utils.data import Dataset

Split = Literal["train", "test"]
#: How the samples of an epoch are divided over ranks, and how the learning rate follows the batch size.
DIVISIONS = ("shuffled", "non-overlapping")
RATE_RULES = ("none", "linear", "sqrt")
PRECISIONS = ("bf16", "fp32", "fp64")


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """How a task is trained; each field is a key of the job file."""

    #: Passes over the training set.
    epochs: int = 1
    #: Samples a step, over all ranks together: it stays the same when the number of ranks changes.
    batch_size: int = 32
    #: Samples that a rank takes at once, at most: gradients add up over the parts of its share. None takes all of it.
    micro_batch: int | None = None
    #: A name that the task's `optimizer` knows.
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    #: fp32, bf16 under autocast, or fp64, which shows whether two ways of training are the same.
    precision: str = "fp32"
    #: Of the weights and of the order of the samples.
    seed: int = 0
    #: shuffled: all samples anew each epoch; non-overlapping: each rank keeps to its own part of them.
    division: str = "shuffled"
    #: The learning rate for another batch size than `tuned_batch_size`: none, linear or sqrt.
    rate_rule: str = "none"
    #: The batch size that `learning_rate` was chosen for.
    tuned_batch_size: int | None = None
    #: Steps in which the rate grows to that of the rule.
    warmup_steps: int = 0
    #: Compute each of the model's repeated blocks again in the backward pass in place of keeping what it made.
    activation_checkpointing: bool = False
    #: The job file's [options]: whatever else the task wants to know.
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} is {value!r}; it must be a whole number of 1 or more")
        if not isinstance(self.learning_rate, int | float) or not self.learning_rate > 0:
            raise ConfigError(f"learning_rate is {self.learning_rate!r}; it must be a number above 0")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"seed is {self.seed!r}; it must be a whole number of 0 or more")
        for name, least in (("warmup_steps", 0), ("tuned_batch_size", 1), ("micro_batch", 1)):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ConfigError(f"{name} is {value!r}; it must be a whole number of {least} or more")
        if not isinstance(self.activation_checkpointing, bool):
            raise ConfigError(
                f"activation_checkpointing is {self.activation_checkpointing!r}; it must be true or false"
            )
        for name, allowed in (("precision", PRECISIONS), ("division", DIVISIONS), ("rate_rule", RATE_RULES)):
            if getattr(self, name) not in allowed:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be one of {', '.join(allowed)}")
        if self.rate_rule != "none" and self.tuned_batch_size is None:
            raise ConfigError(f"rate_rule is {self.rate_rule!r}, but no tuned_batch_size says from which batch size")


class TrainingTask(Protocol):
    """The functions of a task file. A batch is what torch's default collate makes of the data set's samples."""

    def model(self, options: TrainingOptions) -> "Module":
        """The network, with its first weights; torch's random numbers are seeded before."""

    def data(self, split: Split, options: TrainingOptions) -> "Dataset[Any]":
        """A map-style data set (`__len__`, `__getitem__`) of samples, in the same order at each call."""

    def loss(self, model: "Module", batch: Any) -> "Tensor":
        """The mean loss over the samples of a batch, to be minimised: a scalar."""

    def optimizer(self, model: "Module", options: TrainingOptions) -> "Optimizer":
        """The optimiser of the model's parameters."""

    def score(self, model: "Module", batch: Any) -> "Mapping[str, Tensor]":
        """Name -> one figure a sample, shape (samples,); their mean over the test set is reported."""


#: What a task file must define.
FUNCTIONS = ("model", "data", "loss", "optimizer", "score")
