"""A classifier whose rank HANG_RANK stands still for ever in step HANG_STEP, at HANG_PLACE; HANG_FILE gets the time."""

import functools
import itertools
import os
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import Dataset

from crowdrun.data.task import Split, TrainingOptions

_calls: dict[str, int] = {}


def _now(place: str, *, each: int = 1) -> bool:
    """Whether this is the moment: the place is passed `each` times a step."""
    if os.environ.get("HANG_PLACE") != place or os.environ.get("RANK", "0") != os.environ["HANG_RANK"]:
        return False
    _calls[place] = _calls.get(place, 0) + 1
    if _calls[place] != int(os.environ["HANG_STEP"]) * each:
        return False
    Path(os.environ["HANG_FILE"]).write_text(str(time.time()))
    return True


def _sleep() -> None:
    while True:
        time.sleep(1000)


class _Back(torch.autograd.Function):
    """As it is; its way back is a line of Python."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        if _now("backward"):
            _sleep()
        return gradient


def _computes() -> Callable[[Tensor], Tensor]:
    """A hook without a line of Python that computes for ever."""
    return functools.partial(sum, itertools.repeat(0))


def _reads() -> Callable[[Tensor], Tensor]:
    """One that reads for ever from a pipe into which nobody writes."""
    end, _ = os.pipe()
    return functools.partial(sum, os.fdopen(end))


class Place(nn.Module):
    """Passes on what it gets."""

    def forward(self, values: Tensor) -> Tensor:
        if _now("forward"):
            _sleep()
        if _now("frozen"):
            os.kill(os.getpid(), signal.SIGSTOP)
        values = _Back.apply(values)
        for place, hook in (("native work in backward", _computes), ("native read in backward", _reads)):
            if self.training and _now(place):
                values.register_hook(hook())
        if self.training and os.environ.get("HANG_PLACE") == "hook":
            values.register_hook(_hook)
        return values


def _hook(gradient: Tensor) -> None:
    if _now("hook"):
        _sleep()


class Numbers(Dataset[Any]):
    """512 samples."""

    def __len__(self) -> int:
        return 512

    def __getitem__(self, place: int) -> tuple[Tensor, Tensor]:
        if _now("data", each=4):
            _sleep()
        inputs = torch.randn(6, generator=torch.Generator().manual_seed(place))
        return inputs, (inputs.sum() > 0).long()


def model(options: TrainingOptions) -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), Place(), nn.Tanh(), nn.Linear(16, 16), Place(), nn.Tanh(), nn.Linear(16, 2))


def data(split: Split, options: TrainingOptions) -> Numbers:
    return Numbers()


def loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    output = model(batch[0])
    if _now("loss"):
        _sleep()
    return nn.functional.cross_entropy(output, batch[1])


class Steps(SGD):
    """That stands still in its step."""

    def step(self, closure: Any = None) -> Any:
        if _now("optimizer"):
            _sleep()
        return super().step(closure)


def optimizer(model: nn.Module, options: TrainingOptions) -> Optimizer:
    return Steps(model.parameters(), lr=options.learning_rate)


def score(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Mapping[str, Tensor]:
    return {"accuracy": (model(batch[0]).argmax(1) == batch[1]).float()}
