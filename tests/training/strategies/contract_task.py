"""A small classifier that any strategy can divide: a sequence of pairs of Linear layers, 25 samples."""

import os
import time
from collections.abc import Mapping
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import TensorDataset

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.optimizers import by_name

#: The last batch of 8 has one sample, so that ranks are left without one.
SAMPLES = 25


def model(options: TrainingOptions) -> nn.Module:
    width = int(options.extra.get("width", 16))
    sizes = [6, *[width] * int(options.extra.get("layers", 8)), 3]
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def data(split: Split, options: TrainingOptions) -> TensorDataset:
    inputs = torch.randn(SAMPLES, 6, generator=torch.Generator().manual_seed(1))
    return TensorDataset(inputs, inputs[:, :3].argmax(1))


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    # One slow worker, for the servers that must not let the others run away.
    time.sleep(float(os.environ.get("CONTRACT_SLEEP_S", "0")))
    return functional.cross_entropy(model(batch[0]), batch[1])


def optimizer(model: nn.Module, options: TrainingOptions) -> Optimizer:
    return by_name(model, options)


def score(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
    return {"accuracy": (model(batch[0]).argmax(1) == batch[1]).float()}
