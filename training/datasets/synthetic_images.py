"""Images of any size that are made up: each class is a wave of its own direction and length, in noise.

They can be learnt, cost no download, and hold no more memory than the batch. Accuracy on them says that the training
works, and nothing of how good a network is.
"""

import math

import torch

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Generated, Sample
from crowdrun.training.task_options import whole

#: Standard deviation; the wave's own amplitude is 1.
NOISE = 0.5


def synthetic_images(
    split: Split, options: TrainingOptions, *, channels: int, side: int, classes: int, train: int, test: int
) -> Generated:
    """Images (channels, side, side) and labels. Option `samples`: how many to train on, in place of `train`."""
    trained = whole(options, "samples", train)
    rows, columns = torch.meshgrid(torch.linspace(0, 1, side), torch.linspace(0, 1, side), indexing="ij")

    def make(index: int, random: torch.Generator) -> Sample:
        label = index % classes
        angle, waves = math.pi * label / classes, 2 + label % 5
        phase = 2 * math.pi * torch.rand((channels, 1, 1), generator=random)
        wave = torch.sin(2 * math.pi * waves * (rows * math.sin(angle) + columns * math.cos(angle)) + phase)
        noise = NOISE * torch.randn((channels, side, side), generator=random)
        return wave + noise, torch.tensor(label)

    source = f"synthetic images, {channels} x {side} x {side}, {classes} classes"
    return Generated(source, trained if split == "train" else test, seed=1 if split == "train" else 2, make=make)
