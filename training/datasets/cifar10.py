"""CIFAR-10 where the user has its binary files, else images that are made up.

A record is one byte of label and 3,072 of pixels: red, green, blue, each 32 rows of 32 (Krizhevsky, "The CIFAR-10
dataset", binary version).
"""

from pathlib import Path

import numpy as np
import torch

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import InMemory, Samples
from crowdrun.training.datasets.synthetic_images import synthetic_images
from crowdrun.training.task_options import text

SIDE, RECORD = 32, 1 + 3 * 32 * 32
FILES = {"train": tuple(f"data_batch_{n}.bin" for n in range(1, 6)), "test": ("test_batch.bin",)}


def cifar10(split: Split, options: TrainingOptions) -> Samples:
    """Images (3, 32, 32) in 0 to 1, and labels. Option `data`: the folder with data_batch_1.bin and the others."""
    folder = text(options, "data")
    if folder is None:
        return synthetic_images(split, options, channels=3, side=SIDE, classes=10, train=2048, test=512)
    records = np.concatenate([_records(Path(folder) / name) for name in FILES[split]])
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, SIDE, SIDE).copy()).float() / 255
    return InMemory(f"CIFAR-10 from {folder}", images, torch.from_numpy(records[:, 0].astype(np.int64)))


def _records(file: Path) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    try:
        content = np.fromfile(file, dtype=np.uint8)
    except OSError as error:
        raise ConfigError(f"data has no {file}: {error.strerror}; it must hold the binary version") from error
    if not len(content) or len(content) % RECORD:
        raise ConfigError(f"{file} has {len(content)} bytes, no multiple of the {RECORD} of a record")
    records = content.reshape(-1, RECORD)
    if records[:, 0].max() > 9:
        raise ConfigError(f"{file} has the label {records[:, 0].max()}; CIFAR-10 has 0 to 9")
    return records
