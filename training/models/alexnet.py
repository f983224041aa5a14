"""AlexNet with its two halves, on images of ImageNet's shape.

    crowdrun run alexnet

Krizhevsky, Sutskever and Hinton, "ImageNet classification with deep convolutional neural networks", 2012. The halves,
which the paper puts on two GPUs, are groups of convolutions: the second, fourth and fifth see one half each.
"""

from torch import nn

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.imagenet import CLASSES, imagenet_like
from crowdrun.training.models.classification import loss, score
from crowdrun.training.models.initial import he_initialised
from crowdrun.training.optimizers import by_name as optimizer
from crowdrun.training.task_options import whole

__all__ = ["data", "loss", "model", "optimizer", "score"]

SIDE = 227
#: The smallest image that leaves one pixel behind the last pooling.
LEAST_SIDE = 67


def model(options: TrainingOptions) -> nn.Module:
    """Images (samples, 3, side, side) to logits. Options: `side` (227), `classes` (1,000)."""
    left = whole(options, "side", SIDE, least=LEAST_SIDE)
    for kernel, stride in ((11, 4), (3, 2), (3, 2), (3, 2)):
        left = (left - kernel) // stride + 1
    return he_initialised(
        nn.Sequential(
            nn.Conv2d(3, 96, 11, stride=4), nn.ReLU(), nn.LocalResponseNorm(5, k=2.0), nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=2), nn.ReLU(), nn.LocalResponseNorm(5, k=2.0), nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1), nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=2), nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=2), nn.ReLU(), nn.MaxPool2d(3, 2),
            nn.Flatten(),
            nn.Dropout(), nn.Linear(256 * left * left, 4096), nn.ReLU(),
            nn.Dropout(), nn.Linear(4096, 4096), nn.ReLU(),
            nn.Linear(4096, whole(options, "classes", CLASSES, least=2)),
        )
    )  # fmt: skip


def data(split: Split, options: TrainingOptions) -> Samples:
    return imagenet_like(split, options, side=SIDE)


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(batch_size=16, extra={"side": 99, "classes": 10, "samples": 160}))
