"""A residual network as thin and as deep as wanted: how many layers can be trained at all?

    crowdrun run thin-resnet
    [options] layers = 16000, checkpoint = true       # in a job file

Blocks of two 3 x 3 convolutions on few channels, without normalisation. Each block's second convolution starts at 0 and
what a block adds is divided by sqrt(blocks), so that a step changes the output as much at any depth (after Zhang,
Dauphin and Ma, "Fixup initialization", 2019). With `checkpoint` the blocks lie in about sqrt(blocks) segments; only the
segments' inputs are kept, and each is computed again on the way back (Chen et al., "Training deep nets with sublinear
memory cost", 2016).
"""

import math

from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.synthetic_images import synthetic_images
from crowdrun.training.models.classification import loss, score
from crowdrun.training.models.initial import he_initialised
from crowdrun.training.optimizers import by_name as optimizer
from crowdrun.training.task_options import truth, whole

__all__ = ["data", "loss", "model", "optimizer", "score"]

CLASSES, SIDE = 10, 16


class ThinBlock(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, width: int, *, strength: float) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.strength = strength

    def forward(self, images: Tensor) -> Tensor:
        added = self.second(functional.relu(self.first(functional.relu(images))))
        out: Tensor = images + self.strength * added
        return out


class Segment(nn.Module):
    """Blocks of which only the input is kept for the way back."""

    def __init__(self, *blocks: ThinBlock) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*blocks)

    def forward(self, images: Tensor) -> Tensor:
        # Nothing in a block is random, so no state of the random numbers has to be kept for each segment.
        out: Tensor = checkpoint(self.blocks, images, use_reentrant=False, preserve_rng_state=False)
        return out


def model(options: TrainingOptions) -> nn.Module:
    """Images (samples, 3, side, side) to logits.

    Options: `layers` (100), convolutions in the blocks, an even number; `width` (8) channels; `checkpoint` (false).
    """
    blocks, width = max(1, whole(options, "layers", 100, least=2) // 2), whole(options, "width", 8)
    network = he_initialised(
        nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1),
            *_segments([ThinBlock(width, strength=blocks**-0.5) for _ in range(blocks)], options),
            nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(16 * width, CLASSES),
        )
    )  # fmt: skip
    for module in network.modules():
        if isinstance(module, ThinBlock):
            nn.init.zeros_(module.second.weight)
    return network


def _segments(blocks: list[ThinBlock], options: TrainingOptions) -> list[nn.Module]:
    if not truth(options, "checkpoint", False):
        return list(blocks)
    size = math.ceil(math.sqrt(len(blocks)))
    return [Segment(*blocks[start : start + size]) for start in range(0, len(blocks), size)]


def data(split: Split, options: TrainingOptions) -> Samples:
    """Options: `side` (16), `samples` to train on (512)."""
    side = whole(options, "side", SIDE, least=4)
    return synthetic_images(split, options, channels=3, side=side, classes=CLASSES, train=512, test=64)


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(batch_size=32, optimizer="sgd", learning_rate=0.1, extra={"layers": 40}))
