"""A small residual network on the 1,797 handwritten digits that scikit-learn ships.

    crowdrun run docs/examples/digits.toml
    python -m crowdrun.training.models.digits     # the same, alone

The data: 8 x 8 images, 0 to 16, the test set of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI,
1998). The network: residual blocks (He et al., 2015), with group normalisation (Wu and He, 2018), which sees each
sample alone, so that the result does not depend on how a batch is split over ranks.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer
from torch.utils.data import TensorDataset

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.optimizers import by_name

CLASSES = 10
TEST_SHARE = 0.2
#: Of the split into training and test set; not the run's seed, so that runs are judged on the same images.
SPLIT_SEED = 20

Batch = tuple[Tensor, Tensor]


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
    channels, blocks = int(options.extra.get("channels", 16)), int(options.extra.get("blocks", 3))
    return nn.Sequential(
        nn.Conv2d(1, channels, 3, padding=1),
        *(ResidualBlock(channels) for _ in range(blocks)),
        nn.GroupNorm(4, channels),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * channels, CLASSES),
    )


def data(split: Split, options: TrainingOptions) -> TensorDataset:
    """Images (samples, 1, 8, 8) in 0 to 1, and labels (samples,)."""
    del options
    table = np.loadtxt(digits_file(), delimiter=",", dtype=np.float32)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))
    tested = round(len(table) * TEST_SHARE)
    rows = table[order[:tested] if split == "test" else order[tested:]]
    images = torch.from_numpy(rows[:, :-1].reshape(-1, 1, 8, 8) / 16)
    return TensorDataset(images, torch.from_numpy(rows[:, -1].astype(np.int64)))


def digits_file() -> Path:
    """The file in the scikit-learn package, found without importing it: a rank never loads scikit-learn.

    Raises:
        ConfigError: scikit-learn is not installed, or no longer ships it there.
    """
    found = find_spec("sklearn")
    file = Path(found.origin or "").parent / "datasets" / "data" / "digits.csv.gz" if found else None
    if file is None or not file.is_file():
        raise ConfigError(f"the digits of scikit-learn are not at {file}; install scikit-learn 1.5 or later")
    return file


def loss(model: nn.Module, batch: Batch) -> Tensor:
    images, labels = batch
    return functional.cross_entropy(model(images), labels)


def optimizer(model: nn.Module, options: TrainingOptions) -> Optimizer:
    return by_name(model, options)


def score(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    images, labels = batch
    return {"accuracy": (model(images).argmax(1) == labels).float()}


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(epochs=10, batch_size=64, learning_rate=4e-3))
