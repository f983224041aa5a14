"""The network of TensorFlow's CIFAR-10 tutorial (`models/tutorials/image/cifar10`, 2015-2019).

    crowdrun run cifar-net

Two 5 x 5 convolutions, each with max-pooling and local response normalisation, and two layers of rectified units, on
the 24 x 24 pixels in the middle. The tutorial's random crops, flips and colours are left out.
"""

from torch import Tensor, nn

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.cifar10 import cifar10
from crowdrun.training.models.classification import loss, score
from crowdrun.training.models.initial import he_initialised
from crowdrun.training.optimizers import by_name as optimizer

__all__ = ["data", "loss", "model", "optimizer", "score"]

#: Pixels left out at each edge.
MARGIN = 4


class Middle(nn.Module):
    """The middle of images (…, 32, 32), each with mean 0 and variance 1, as `per_image_standardization`."""

    def forward(self, images: Tensor) -> Tensor:
        middle = images[..., MARGIN:-MARGIN, MARGIN:-MARGIN]
        each = middle.flatten(1)
        deviation = each.std(1, correction=0).clamp_min(each.shape[1] ** -0.5)
        return (middle - each.mean(1).view(-1, 1, 1, 1)) / deviation.view(-1, 1, 1, 1)


def model(options: TrainingOptions) -> nn.Module:
    """Images (samples, 3, 32, 32) to logits (samples, 10)."""
    del options
    normalisation = nn.LocalResponseNorm(9, alpha=9 * 0.001 / 9.0, beta=0.75, k=1.0)
    return he_initialised(
        nn.Sequential(
            Middle(),
            nn.Conv2d(3, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, padding=1), normalisation,
            nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), normalisation, nn.MaxPool2d(3, 2, padding=1),
            nn.Flatten(),
            nn.Linear(64 * 6 * 6, 384), nn.ReLU(),
            nn.Linear(384, 192), nn.ReLU(),
            nn.Linear(192, 10),
        )
    )  # fmt: skip


def data(split: Split, options: TrainingOptions) -> Samples:
    return cifar10(split, options)


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(epochs=2, batch_size=64))
