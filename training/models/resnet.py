"""Residual networks of 18, 50 and 152 layers, on images of ImageNet's shape.

    crowdrun run resnet-50

He, Zhang, Ren and Sun, "Deep residual learning for image recognition", 2015, table 1. The stride of a bottleneck is in
its 3 x 3 convolution (as in Goyal et al., 2017), and the last normalisation of a block starts at 0 (the same).
"""

from torch import Tensor, nn

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.imagenet import CLASSES, imagenet_like
from crowdrun.training.models.classification import loss, score
from crowdrun.training.models.initial import he_initialised
from crowdrun.training.optimizers import by_name as optimizer
from crowdrun.training.task_options import whole

__all__ = ["data", "loss", "model", "optimizer", "score"]

SIDE = 224
#: Depth -> blocks between two halvings of the image; from 50 on they are bottlenecks.
DEPTHS = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}
#: Channels of a bottleneck's end, relative to those inside.
EXPANSION = 4


class Block(nn.Module):
    """Convolutions beside the identity, or beside a projection where the shape changes."""

    def __init__(self, channels_in: int, width: int, *, stride: int, bottleneck: bool) -> None:
        super().__init__()
        channels = width * EXPANSION if bottleneck else width
        middle = [_convolution(width, width, 3, stride=stride), nn.ReLU()]
        self.body = (
            nn.Sequential(_convolution(channels_in, width, 1), nn.ReLU(), *middle, _convolution(width, channels, 1))
            if bottleneck
            else nn.Sequential(
                _convolution(channels_in, width, 3, stride=stride), nn.ReLU(), _convolution(width, width, 3)
            )
        )
        same = stride == 1 and channels_in == channels
        self.beside = nn.Identity() if same else _convolution(channels_in, channels, 1, stride=stride)
        self.end = nn.ReLU()

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.end(self.body(images) + self.beside(images))
        return out


def _convolution(channels_in: int, channels: int, kernel: int, *, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(channels_in, channels, kernel, stride=stride, padding=kernel // 2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


def model(options: TrainingOptions) -> nn.Module:
    """Images (samples, 3, side, side) to logits. Options: `depth` (50), `side` (224), `classes` (1,000)."""
    depth = whole(options, "depth", 50)
    if depth not in DEPTHS:
        raise ConfigError(f"the option depth is {depth}; it must be one of {', '.join(map(str, DEPTHS))}")
    blocks: list[Block] = []
    channels, bottleneck = 64, depth >= 50
    for group, count in enumerate(DEPTHS[depth]):
        width = 64 * 2**group
        for number in range(count):
            stride = 2 if group > 0 and number == 0 else 1
            blocks.append(Block(channels, width, stride=stride, bottleneck=bottleneck))
            channels = width * EXPANSION if bottleneck else width
    network = he_initialised(
        nn.Sequential(
            _convolution(3, 64, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1),
            *blocks,
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, whole(options, "classes", CLASSES, least=2)),
        )
    )  # fmt: skip
    for block in blocks:
        nn.init.zeros_(block.body[-1][1].weight)  # type: ignore[index]
    return network


def data(split: Split, options: TrainingOptions) -> Samples:
    return imagenet_like(split, options, side=SIDE)


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(batch_size=8, extra={"depth": 18, "side": 64, "classes": 10, "samples": 160}))
