"""Images of ImageNet's shape, made up: the size of what goes through a network is real, what is seen is not."""

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Generated
from crowdrun.training.datasets.synthetic_images import synthetic_images
from crowdrun.training.task_options import whole

CLASSES = 1000


def imagenet_like(split: Split, options: TrainingOptions, *, side: int) -> Generated:
    """Options: `side` of the images (the network's own), `classes` (1,000), `samples` to train on (1,024)."""
    side = whole(options, "side", side)
    classes = whole(options, "classes", CLASSES)
    return synthetic_images(split, options, channels=3, side=side, classes=classes, train=1024, test=128)
