"""VGG-16 (configuration D), on images of ImageNet's shape.

    crowdrun run vgg-16

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition", 2014. With the first
weights of He et al. (2015) it can be trained at once; the authors trained a shallower one first.
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

SIDE = 224
#: Channels and number of convolutions between two poolings.
GROUPS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def model(options: TrainingOptions) -> nn.Module:
    """Images (samples, 3, side, side) to logits. Options: `side` (224), `classes` (1,000)."""
    layers: list[nn.Module] = []
    channels_in = 3
    for channels, convolutions in GROUPS:
        for _ in range(convolutions):
            layers += [nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU()]
            channels_in = channels
        layers.append(nn.MaxPool2d(2))
    left = whole(options, "side", SIDE, least=32) // 32
    return he_initialised(
        nn.Sequential(
            *layers,
            nn.Flatten(),
            nn.Linear(512 * left * left, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, 4096), nn.ReLU(), nn.Dropout(),
            nn.Linear(4096, whole(options, "classes", CLASSES, least=2)),
        )
    )  # fmt: skip


def data(split: Split, options: TrainingOptions) -> Samples:
    return imagenet_like(split, options, side=SIDE)


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(batch_size=8, extra={"side": 64, "classes": 10, "samples": 80}))
