"""A^n + B^n on two devices, one power each: the first thing that people compute on several GPUs.

    crowdrun run matrix-power

After the multi-GPU example of A. Damien's TensorFlow-Examples (2015), which times it for two 10,000 x 10,000 matrices
and n = 10. To make it training, A and B are learnt: given vectors x, the sum of both powers times x is to be that of
hidden matrices. Powers are taken by repeated multiplication of matrices, as there. A and B lie on two GPUs where
one process has two, or on the `devices` that are named; else both are where the rank computes.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Generated, Sample, Samples
from crowdrun.training.optimizers import by_name as optimizer
from crowdrun.training.task_options import whole

__all__ = ["data", "loss", "model", "optimizer", "score"]

SIZE, POWER = 100, 10
Batch = tuple[Tensor, Tensor]


class MatrixPowers(nn.Module):
    """Vectors (samples, size) to the same shape."""

    def __init__(self, first: Tensor, second: Tensor, power: int) -> None:
        super().__init__()
        self.first, self.second, self.power = nn.Parameter(first), nn.Parameter(second), power

    def forward(self, vectors: Tensor) -> Tensor:
        # Both are under way before either is waited for: a GPU computes while the next order is given.
        parts = [vectors.to(one.device) @ _power(one, self.power) for one in (self.first, self.second)]
        out: Tensor = parts[0].to(vectors.device) + parts[1].to(vectors.device)
        return out


def _power(matrix: Tensor, power: int) -> Tensor:
    product = matrix
    for _ in range(power - 1):
        product = torch.mm(product, matrix)
    return product


def _near_identity(size: int, random: torch.Generator) -> Tensor:
    return torch.eye(size) + 0.1 / math.sqrt(size) * torch.randn((size, size), generator=random)


def _own_devices() -> list[str]:
    alone = not torch.distributed.is_initialized()
    return ["cuda:0", "cuda:1"] if alone and torch.cuda.device_count() > 1 else ["cpu", "cpu"]


def model(options: TrainingOptions) -> nn.Module:
    """Options: `size` (100), `power` (10), `devices`: two names, as ["cuda:0", "cuda:1"]."""
    size, power = whole(options, "size", SIZE), whole(options, "power", POWER)
    devices = options.extra.get("devices") or _own_devices()
    if not (isinstance(devices, list) and len(devices) == 2):
        raise ConfigError(f'the option devices is {devices!r}; it must be two names, as ["cuda:0", "cuda:1"]')
    return MatrixPowers(torch.eye(size, device=devices[0]), torch.eye(size, device=devices[1]), power)


def data(split: Split, options: TrainingOptions) -> Samples:
    """Vectors (size,), and what the hidden matrices make of them (size,). Option: `samples` to train on (512)."""
    size, power = whole(options, "size", SIZE), whole(options, "power", POWER)
    hidden = torch.Generator().manual_seed(9)
    first, second = _near_identity(size, hidden), _near_identity(size, hidden)
    together = _power(first, power) + _power(second, power)

    def make(index: int, random: torch.Generator) -> Sample:
        del index
        vector = torch.randn(size, generator=random)
        return vector, vector @ together

    samples = whole(options, "samples", 512) if split == "train" else 64
    return Generated(f"vectors of {size} random numbers", samples, seed=10 if split == "train" else 11, make=make)


def loss(model: nn.Module, batch: Batch) -> Tensor:
    vectors, wanted = batch
    found: Tensor = functional.mse_loss(model(vectors), wanted)
    return found


def score(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """The length of the difference relative to that of the answer, a figure a sample."""
    vectors, wanted = batch
    return {"relative_error": (model(vectors) - wanted).norm(dim=1) / wanted.norm(dim=1)}


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(epochs=10, batch_size=32, learning_rate=1e-3))
