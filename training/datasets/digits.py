"""The 1,797 handwritten digits that scikit-learn ships: 8 x 8 images with 17 shades.

The test set of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, UCI, 1998).
"""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import Split
from crowdrun.training.datasets.base import InMemory

TEST_SHARE = 0.2
#: Of the split into training and test set; not the run's seed, so that runs are judged on the same images.
SPLIT_SEED = 20


def digits(split: Split) -> InMemory:
    """Images (samples, 1, 8, 8) in 0 to 1, and labels (samples,)."""
    table = np.loadtxt(digits_file(), delimiter=",", dtype=np.float32)
    order = np.random.default_rng(SPLIT_SEED).permutation(len(table))
    tested = round(len(table) * TEST_SHARE)
    rows = table[order[:tested] if split == "test" else order[tested:]]
    images = torch.from_numpy(rows[:, :-1].reshape(-1, 1, 8, 8) / 16)
    return InMemory("scikit-learn's digits, 8 x 8", images, torch.from_numpy(rows[:, -1].astype(np.int64)))


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
