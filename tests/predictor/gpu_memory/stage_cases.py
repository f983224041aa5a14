"""Sequences of layers for pipelines, as training tasks, and how they are divided over the ranks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn, optim
from torch.nn import functional

from crowdrun.data.forecast import ForecastSettings
from crowdrun.predictor.gpu_memory.program import Program
from tests.predictor.gpu_memory.zoo import Layer, Residual, adamw

#: Samples that are under way at once.
SAMPLES = 4


def images(samples: int) -> list[Tensor]:
    return [torch.randn(samples, 3, 32, 32), torch.randint(10, (samples,))]


def tokens(samples: int) -> list[Tensor]:
    whole = torch.randint(256, (samples, 65))
    return [whole[:, :-1], whole[:, 1:]]


def classify(model: nn.Module, batch: Any) -> Tensor:
    return functional.cross_entropy(model(batch[0]), batch[1])


def predict(model: nn.Module, batch: Any) -> Tensor:
    return functional.cross_entropy(model(batch[0]).flatten(0, 1), batch[1].flatten())


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), *[Residual(16) for _ in range(4)],
        nn.Conv2d(16, 64, 3, stride=2, padding=1), *[Residual(64) for _ in range(5)],
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip


def attentive() -> nn.Module:
    return nn.Sequential(nn.Embedding(256, 128), *[Layer(128, 4) for _ in range(6)], nn.Linear(128, 256))


@dataclass(frozen=True, kw_only=True)
class StageTask:
    """A task without data: `batch` makes what the runner would read."""

    build: Callable[[], nn.Module]
    batch: Callable[[int], Any]
    loss: Callable[[nn.Module, Any], Tensor]

    def model(self, options: Any) -> nn.Module:
        del options
        return self.build()

    def optimizer(self, model: nn.Module, options: Any) -> optim.Optimizer:
        del options
        return adamw(model)

    def program(self) -> Program:
        return Program(model=self.build, batch=lambda: self.batch(SAMPLES), loss=self.loss, optimizer=adamw)


TASKS = {
    "convolutional": StageTask(build=convolutional, batch=images, loss=classify),
    "attentive": StageTask(build=attentive, batch=tokens, loss=predict),
}
#: Over four ranks; the hybrid is of two pipelines of two.
LAYOUTS: dict[str, dict[str, Any]] = {
    "gpipe": {"strategy": "pipeline", "schedule": "gpipe", "micro_batches": 8},
    "1f1b": {"strategy": "pipeline", "schedule": "1f1b", "micro_batches": 8},
    "interleaved": {"strategy": "pipeline", "schedule": "interleaved", "micro_batches": 8},
    "two of two": {"strategy": "hybrid", "schedule": "1f1b", "micro_batches": 4, "pipeline_ranks": 2},
}


def settings_of(layout: str, world_size: int, **changed: Any) -> ForecastSettings:
    return ForecastSettings(**{"device": "cpu", "world_size": world_size} | LAYOUTS[layout] | changed)
