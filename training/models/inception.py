"""Inception v3, on images of ImageNet's shape.

    crowdrun run inception-v3

Szegedy, Vanhoucke, Ioffe, Shlens and Wojna, "Rethinking the Inception architecture for computer vision", 2015; widths
as in the authors' code (TensorFlow's slim, `inception_v3`), with the auxiliary classifier while training.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.imagenet import CLASSES, imagenet_like
from crowdrun.training.models.classification import Batch, score
from crowdrun.training.models.initial import he_initialised
from crowdrun.training.optimizers import by_name as optimizer
from crowdrun.training.task_options import whole

__all__ = ["data", "loss", "model", "optimizer", "score"]

#: The smallest image leaves 5 x 5 pixels where the auxiliary classifier begins.
SIDE, LEAST_SIDE = 299, 107
#: Of the auxiliary classifier's loss beside the other's, as in the authors' code.
AUXILIARY_WEIGHT = 0.4

#: A convolution: channels, kernel, stride; it keeps the image's size where the stride is 1.
Step = tuple[int, int | tuple[int, int], int]


def _convolution(channels_in: int, step: Step, *, padded: bool = True) -> nn.Sequential:
    channels, kernel, stride = step
    high, wide = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    padding = (high // 2, wide // 2) if padded and stride == 1 else (0, 0)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, (high, wide), stride, padding, bias=False),
        nn.BatchNorm2d(channels, eps=1e-3),
        nn.ReLU(),
    )


def _chain(channels_in: int, *steps: Step) -> nn.Sequential:
    into = (channels_in, *(step[0] for step in steps))
    return nn.Sequential(*(_convolution(before, step) for before, step in zip(into, steps, strict=False)))


def _pooled(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.AvgPool2d(3, 1, padding=1), _convolution(channels_in, (channels, 1, 1)))


class Branches(nn.Module):
    """Several looks at the same image, side by side in the channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, images: Tensor) -> Tensor:
        return torch.cat([branch(images) for branch in self.branches], 1)


def _small(channels: int, pooled: int) -> Branches:
    """Figure 5: the 5 x 5 convolution as two of 3 x 3, beside a real one of 5 x 5."""
    return Branches(
        _chain(channels, (64, 1, 1)),
        _chain(channels, (48, 1, 1), (64, 5, 1)),
        _chain(channels, (64, 1, 1), (96, 3, 1), (96, 3, 1)),
        _pooled(channels, pooled),
    )


def _long(channels: int, width: int) -> Branches:
    """Figure 6: n x n convolutions as 1 x n and n x 1, n = 7."""
    row, column = (1, 7), (7, 1)
    return Branches(
        _chain(channels, (192, 1, 1)),
        _chain(channels, (width, 1, 1), (width, row, 1), (192, column, 1)),
        _chain(channels, (width, 1, 1), (width, column, 1), (width, row, 1), (width, column, 1), (192, row, 1)),
        _pooled(channels, 192),
    )


def _wide(channels: int) -> Branches:
    """Figure 7: filters spread out on the coarsest grid."""

    def spread(width: int) -> Branches:
        return Branches(_chain(width, (384, (1, 3), 1)), _chain(width, (384, (3, 1), 1)))

    return Branches(
        _chain(channels, (320, 1, 1)),
        nn.Sequential(_chain(channels, (384, 1, 1)), spread(384)),
        nn.Sequential(_chain(channels, (448, 1, 1), (384, 3, 1)), spread(384)),
        _pooled(channels, 192),
    )


def _reduction(channels: int, *chains: Sequence[Step]) -> Branches:
    """Figure 10: convolutions and pooling of stride 2 in parallel."""
    return Branches(*(_chain(channels, *chain) for chain in chains), nn.MaxPool2d(3, 2))


class Inception(nn.Module):
    """Logits; while training, those of the auxiliary classifier beside them."""

    def __init__(self, *, classes: int, side: int) -> None:
        super().__init__()
        pooled = (_grid(side) - 5) // 3 + 1
        seven: tuple[Step, ...] = ((192, 1, 1), (192, (1, 7), 1), (192, (7, 1), 1), (192, 3, 2))
        self.first = nn.Sequential(
            _convolution(3, (32, 3, 2)), _convolution(32, (32, 3, 1), padded=False), _convolution(32, (64, 3, 1)),
            nn.MaxPool2d(3, 2), _convolution(64, (80, 1, 1)), _convolution(80, (192, 3, 1), padded=False),
            nn.MaxPool2d(3, 2), _small(192, 32), _small(256, 64), _small(288, 64),
            _reduction(288, ((384, 3, 2),), ((64, 1, 1), (96, 3, 1), (96, 3, 2))),
            _long(768, 128), _long(768, 160), _long(768, 160), _long(768, 192),
        )  # fmt: skip
        self.last = nn.Sequential(
            _reduction(768, ((192, 1, 1), (320, 3, 2)), seven),
            _wide(1280), _wide(2048), nn.AdaptiveAvgPool2d(1), nn.Dropout(0.2), nn.Flatten(), nn.Linear(2048, classes),
        )  # fmt: skip
        self.auxiliary = nn.Sequential(
            nn.AvgPool2d(5, 3), _convolution(768, (128, 1, 1)),
            _convolution(128, (768, min(5, pooled), 1), padded=False),
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(768, classes),
        )  # fmt: skip

    def forward(self, images: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        middle = self.first(images)
        logits: Tensor = self.last(middle)
        return (logits, self.auxiliary(middle)) if self.training else logits


def _grid(side: int) -> int:
    """Pixels across the image where the auxiliary classifier begins: 17 of 299."""
    for kernel, stride in ((3, 2), (3, 1), (3, 2), (3, 1), (3, 2), (3, 2)):
        side = (side - kernel) // stride + 1
    return side


def model(options: TrainingOptions) -> nn.Module:
    """Options: `side` (299), `classes` (1,000)."""
    side = whole(options, "side", SIDE, least=LEAST_SIDE)
    return he_initialised(Inception(classes=whole(options, "classes", CLASSES, least=2), side=side))


def data(split: Split, options: TrainingOptions) -> Samples:
    return imagenet_like(split, options, side=SIDE)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    images, labels = batch
    out = model(images)
    if isinstance(out, Tensor):
        return functional.cross_entropy(out, labels)
    logits, auxiliary = out
    return functional.cross_entropy(logits, labels) + AUXILIARY_WEIGHT * functional.cross_entropy(auxiliary, labels)


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(batch_size=8, extra={"side": 139, "classes": 10, "samples": 40}))
