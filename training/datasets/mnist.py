"""MNIST where the user has its files, else scikit-learn's digits enlarged to the same 28 x 28."""

from pathlib import Path

import torch
from torch.nn import functional

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import InMemory
from crowdrun.training.datasets.digits import digits
from crowdrun.training.datasets.idx import read_idx
from crowdrun.training.task_options import text

SIDE = 28
_PREFIX = {"train": "train", "test": "t10k"}


def mnist(split: Split, options: TrainingOptions) -> InMemory:
    """Images (samples, 1, 28, 28) in 0 to 1, and labels (samples,). Option `data`: the folder of the four IDX files."""
    folder = text(options, "data")
    if folder is None:
        images, labels = digits(split).tensors
        enlarged = functional.interpolate(images, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
        return InMemory("scikit-learn's digits enlarged to 28 x 28, not MNIST: no data folder", enlarged, labels)
    pixels = read_idx(_file(Path(folder), f"{_PREFIX[split]}-images", 3))
    classes = read_idx(_file(Path(folder), f"{_PREFIX[split]}-labels", 1))
    if len(pixels) != len(classes) or pixels.shape[1:] != (SIDE, SIDE):
        raise ConfigError(f"{folder}: {len(classes)} labels beside images of the shape {pixels.shape}")
    images = torch.from_numpy(pixels.copy()).unsqueeze(1).float() / 255
    return InMemory(f"MNIST from {folder}", images, torch.from_numpy(classes.copy()).long())


def _file(folder: Path, name: str, dimensions: int) -> Path:
    names = [f"{name}{dot}idx{dimensions}-ubyte{end}" for dot in "-." for end in ("", ".gz")]
    found = next((folder / one for one in names if (folder / one).is_file()), None)
    if found is None:
        raise ConfigError(f"data is {str(folder)!r}, which holds none of {', '.join(names)}")
    return found
