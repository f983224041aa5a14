"""A small residual network on the 1,797 handwritten digits that scikit-learn ships.

    crowdrun run docs/examples/digits.toml
    python -m crowdrun.training.models.digits     # the same, alone

The network: residual blocks (He et al., 2015), with group normalisation (Wu and He, 2018), which sees each
sample alone, so that the result does not depend on how a batch is split over ranks.
"""

from torch import Tensor, nn

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.digits import digits
from crowdrun.training.models.classification import loss, score
from crowdrun.training.optimizers import by_name as optimizer
from crowdrun.training.task_options import whole

__all__ = ["data", "loss", "model", "optimizer", "score"]

CLASSES = 10


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(4, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.GroupNorm(4, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        )

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = images + self.body(images)
        return out


def model(options: TrainingOptions) -> nn.Module:
    """Extra options: `channels` (16; a multiple of 4) and `blocks` (3)."""
    channels, blocks = whole(options, "channels", 16, least=4), whole(options, "blocks", 3)
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        *(ResidualBlock(channels) for _ in range(blocks)),
        nn.GroupNorm(4, channels),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * channels, CLASSES),
    )


def data(split: Split, options: TrainingOptions) -> Samples:
    """Images (1, 8, 8) in 0 to 1, and labels."""
    del options
    return digits(split)


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(epochs=10, batch_size=64, learning_rate=4e-3))
