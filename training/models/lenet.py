"""LeNet-5 with rectified units and max-pooling, on MNIST.

    crowdrun run lenet                                # scikit-learn's digits, enlarged
    [options] data = "/data/mnist"                    # in a job file: the real MNIST

LeCun, Bottou, Bengio and Haffner, "Gradient-based learning applied to document recognition", 1998. Here each map of the
third layer sees all six maps below it, where the paper leaves some out, and the last layer is a linear one.
"""

from torch import nn

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.mnist import mnist
from crowdrun.training.models.classification import loss, score
from crowdrun.training.optimizers import by_name as optimizer

__all__ = ["data", "loss", "model", "optimizer", "score"]


def model(options: TrainingOptions) -> nn.Module:
    """Images (samples, 1, 28, 28) to logits (samples, 10)."""
    del options
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120), nn.ReLU(),
        nn.Linear(120, 84), nn.ReLU(),
        nn.Linear(84, 10),
    )  # fmt: skip


def data(split: Split, options: TrainingOptions) -> Samples:
    return mnist(split, options)


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(epochs=5, batch_size=64, learning_rate=2e-3))
