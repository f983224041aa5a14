"""What a GPU is asked with: small networks of three families, in several sizes."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import nn, optim
from torch.nn import functional

from crowdrun.predictor.gpu_memory.program import Program


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One thing to train."""

    family: str
    size: int
    batch: int
    precision: str
    checkpointing: bool


def configurations() -> list[Configuration]:
    """Convolution, attention and recurrence, in two sizes, two batches, two precisions; the first two recomputed too.

    >>> len(configurations())
    40
    """
    return [
        Configuration(family=family, size=size, batch=batch, precision=precision, checkpointing=again)
        for family, again in (
            ("cnn", False),
            ("cnn", True),
            ("transformer", False),
            ("transformer", True),
            ("lstm", False),
        )
        for size, batch, precision in product((1, 2), (16, 64), ("fp32", "bf16"))
    ]


def program_of(configuration: Configuration) -> Program:
    """What is trained, and on what."""
    width, batch = configuration.size, configuration.batch
    if configuration.family == "cnn":
        return _program(lambda: _cnn(64 * width), lambda: [_images(batch), _labels(batch)])
    if configuration.family == "transformer":
        return _program(lambda: _transformer(512 * width), lambda: [_words(batch, 256), _labels(batch)])
    return _program(lambda: _Recurrent(512 * width), lambda: [_words(batch, 256), _labels(batch)])


def _program(model: Callable[[], nn.Module], batch: Callable[[], Any]) -> Program:
    return Program(
        model=model,
        batch=batch,
        loss=lambda made, one: functional.cross_entropy(made(one[0]), one[1]),
        optimizer=lambda made: optim.AdamW(made.parameters()),
    )


def _images(batch: int) -> torch.Tensor:
    return torch.randn(batch, 3, 128, 128)


def _words(batch: int, length: int) -> torch.Tensor:
    return torch.randint(0, 1000, (batch, length))


def _labels(batch: int) -> torch.Tensor:
    return torch.randint(0, 10, (batch,))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return functional.relu(images + self.body(images))


def _cnn(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, channels, 7, stride=2, padding=3), *(_Residual(channels) for _ in range(8)),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10),
    )  # fmt: skip


class _First(nn.Module):
    """The output at the first place."""

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        return states[:, 0]


def _transformer(width: int) -> nn.Module:
    layers = [
        nn.TransformerEncoderLayer(width, 8, 4 * width, dropout=0.1, batch_first=True, norm_first=True)
        for _ in range(8)
    ]
    return nn.Sequential(nn.Embedding(1000, width), *layers, _First(), nn.Linear(width, 10))


class _Recurrent(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.words, self.body = nn.Embedding(1000, width), nn.LSTM(width, width, num_layers=2, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, words: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.body(self.words(words))[0][:, -1])
        return out
