"""A regression that draws random numbers of all kinds, or none (`plain`), in steps of STEP_S seconds."""

import os
import random
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.utils.data import Dataset

from crowdrun.data.task import Split, TrainingOptions


class Noisy(Dataset[Any]):
    """64 samples, another noise on each every time."""

    def __init__(self, plain: bool) -> None:
        self._plain = plain

    def __len__(self) -> int:
        return 64

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        inputs = torch.randn(6, generator=torch.Generator().manual_seed(place))
        if self._plain:
            return inputs, inputs.sum(0, keepdim=True)
        noise = 0.01 * float(np.random.rand()) + 0.01 * random.random()
        return inputs + noise, inputs.sum(0, keepdim=True)


def model(options: TrainingOptions) -> nn.Module:
    if options.extra.get("plain"):
        return nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 1))
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Dropout(0.2), nn.Linear(16, 1))


def data(split: Split, options: TrainingOptions) -> Noisy:
    return Noisy(bool(options.extra.get("plain")))


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    rank = os.environ.get("RANK", "0")
    time.sleep(float(os.environ.get(f"STEP_S_{rank}", os.environ.get("STEP_S", "0"))))
    if len(batch[0]) > int(os.environ.get("MOST_SAMPLES", "1000")):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
    return ((model(batch[0]) - batch[1]) ** 2).mean()


def optimizer(model: nn.Module, options: TrainingOptions) -> Optimizer:
    return AdamW(model.parameters(), lr=options.learning_rate)


def score(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
    return {"error": (model(batch[0]) - batch[1]).abs()[:, 0]}
