"""The scores of families on disk: the keys as JSON, the values as npz; no pickle."""

from collections import deque
from pathlib import Path

import numpy as np

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.family_levels import KEPT, FamilyLevels
from crowdrun.predictor.persistence.keys import read_keys, write_keys

KEYS_FILE = "family_keys.json"
SCORES_FILE = "family_scores.npz"


def save_families(levels: FamilyLevels, folder: Path) -> None:
    """Write KEYS_FILE and SCORES_FILE into the folder."""
    write_keys(folder / KEYS_FILE, levels.scores)
    kept = list(levels.scores.values())
    np.savez_compressed(
        folder / SCORES_FILE,
        scores=np.array([score for scores in kept for score in scores], dtype=np.float64),
        lengths=np.array([len(scores) for scores in kept], dtype=np.int64),
    )


def load_families(levels: FamilyLevels, folder: Path) -> None:
    """Put the scores that `save_families` wrote into `levels`, which comes empty.

    Raises:
        ModelError: a file is missing or cannot be read.
    """
    arrays = load_arrays(folder / SCORES_FILE)
    ends = np.cumsum(arrays["lengths"])
    for key, length, end in zip(read_keys(folder / KEYS_FILE), arrays["lengths"], ends, strict=True):
        levels.scores[key] = deque(arrays["scores"][end - length : end].tolist(), maxlen=KEPT)
