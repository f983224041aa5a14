"""U-Net that finds the salt in seismic sections.

    crowdrun run unet

Ronneberger, Fischer and Brox, "U-Net: convolutional networks for biomedical image segmentation", 2015. Convolutions are
padded, so that the mask is as large as the section. The score is the intersection over union of the salt.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.seismic import seismic_sections
from crowdrun.training.models.classification import Batch, loss
from crowdrun.training.models.initial import he_initialised
from crowdrun.training.optimizers import by_name as optimizer
from crowdrun.training.task_options import whole

__all__ = ["data", "loss", "model", "optimizer", "score"]

#: Halvings of the image.
LEVELS = 4


def _pair(channels_in: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, padding=1), nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(),
    )  # fmt: skip


class UNet(nn.Module):
    """Sections (samples, 1, side, side) to logits (samples, 2, side, side)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        widths = [width * 2**level for level in range(LEVELS + 1)]
        self.down = nn.ModuleList(_pair(before, after) for before, after in zip([1, *widths], widths, strict=False))
        self.up = nn.ModuleList(nn.ConvTranspose2d(2 * w, w, 2, stride=2) for w in reversed(widths[:-1]))
        self.join = nn.ModuleList(_pair(2 * w, w) for w in reversed(widths[:-1]))
        self.end = nn.Conv2d(width, 2, 1)

    def forward(self, images: Tensor) -> Tensor:
        seen: list[Tensor] = []
        for down in self.down:
            seen.append(down(functional.max_pool2d(seen[-1], 2) if seen else images))
        out = seen.pop()
        for up, join in zip(self.up, self.join, strict=True):
            out = join(torch.cat([seen.pop(), up(out)], 1))
        logits: Tensor = self.end(out)
        return logits


def model(options: TrainingOptions) -> nn.Module:
    """Option: `width` (64), channels of the first level."""
    return he_initialised(UNet(whole(options, "width", 64)))


def data(split: Split, options: TrainingOptions) -> Samples:
    side = whole(options, "side", 128, least=2**LEVELS)
    if side % 2**LEVELS:
        raise ConfigError(f"the option side is {side}; it must be a multiple of {2**LEVELS}")
    return seismic_sections(split, options)


def score(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """Intersection over union of the salt, a figure a section; 1 where there is none and none was found."""
    sections, masks = batch
    found, salt = (model(sections).argmax(1) == 1).flatten(1), (masks == 1).flatten(1)
    union = (found | salt).sum(1)
    return {"iou": torch.where(union > 0, (found & salt).sum(1) / union.clamp_min(1), 1.0)}


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(epochs=6, batch_size=16, extra={"width": 8, "side": 64}))
