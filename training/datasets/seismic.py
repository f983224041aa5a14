"""Synthetic seismic sections with a salt body to be segmented.

A stack of layers with random reflection coefficients, bent by a fold and cut by a fault, is convolved along time with
a Ricker wavelet (Ricker, 1953), the convolutional model of a stacked section; inside the salt, an ellipse, there are no
reflections but its own top. Noise is added. This is geology enough to train on, not to judge a method by.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Generated, Sample
from crowdrun.training.task_options import whole

NOISE = 0.1
#: Samples of the wavelet, and its dominant frequency in cycles a sample.
WAVELET_SAMPLES, FREQUENCY = 25, 0.08


def seismic_sections(split: Split, options: TrainingOptions) -> Generated:
    """Sections (1, side, side) and masks (side, side) of 0 and 1, 1 in the salt. Options: `side` (128), `samples`."""
    side = whole(options, "side", 128)
    size = whole(options, "samples", 256) if split == "train" else 32

    def make(index: int, random: torch.Generator) -> Sample:
        del index
        return section(side, random)

    return Generated(f"synthetic seismic sections, {side} x {side}", size, seed=3 if split == "train" else 4, make=make)


def ricker() -> Tensor:
    """(1 - 2 a) exp(-a) with a = (pi f t)^2: shape (WAVELET_SAMPLES,), 1 in the middle."""
    time = torch.arange(WAVELET_SAMPLES) - WAVELET_SAMPLES // 2
    a = (math.pi * FREQUENCY * time) ** 2
    return (1 - 2 * a) * torch.exp(-a)


def section(side: int, random: torch.Generator) -> tuple[Tensor, Tensor]:
    """One section (1, side, side), depth by distance, and its mask (side, side)."""
    depth, distance = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    draw = torch.rand(8, generator=random)
    reflectivity = torch.randn(3 * side, generator=random) * (torch.rand(3 * side, generator=random) < 0.15)
    fold = draw[0] * 0.1 * side * torch.sin(2 * math.pi * (distance / side * (1 + draw[1]) + draw[2]))
    throw = (distance > side * (0.2 + 0.6 * draw[3])) * (draw[4] * 0.1 * side)
    layers = reflectivity[(depth + fold + throw + side).long().clamp(0, 3 * side - 1)]
    across = (distance - side * (0.3 + 0.4 * draw[5])) / (side * (0.1 + 0.15 * draw[6]))
    down = (depth - side * (0.4 + 0.3 * draw[7])) / (side * 0.2)
    salt = across**2 + down**2 < 1
    top = salt & ~torch.roll(salt, 1, dims=0)
    strength = layers * ~salt + 2.0 * top
    traces = strength.T.unsqueeze(1)
    seen = functional.conv1d(traces, ricker().view(1, 1, -1), padding=WAVELET_SAMPLES // 2).squeeze(1).T
    return (seen + NOISE * torch.randn((side, side), generator=random)).unsqueeze(0), salt.long()
