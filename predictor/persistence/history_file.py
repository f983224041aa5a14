"""A history on disk: the keys as JSON, the values as npz; no pickle."""

from collections import deque
from pathlib import Path

import numpy as np

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.history import History, Trail
from crowdrun.predictor.persistence.keys import read_keys, write_keys

KEYS_FILE = "history_keys.json"
VALUES_FILE = "history.npz"


def save_history(history: History, folder: Path) -> None:
    """Write KEYS_FILE and VALUES_FILE into the folder."""
    trails = list(history.trails.values())
    write_keys(folder / KEYS_FILE, history.trails)
    np.savez_compressed(
        folder / VALUES_FILE,
        values=np.array([value for trail in trails for value in trail.recent], dtype=np.float64),
        lengths=np.array([len(trail.recent) for trail in trails], dtype=np.int64),
        count=np.array([trail.count for trail in trails], dtype=np.int64),
        newest_time=np.array([trail.newest_time for trail in trails], dtype=np.float64),
        mean=np.array([trail.mean for trail in trails], dtype=np.float64),
    )


def load_history(folder: Path) -> History:
    """The history that `save_history` wrote.

    Raises:
        ModelError: a file is missing or cannot be read.
    """
    keys = read_keys(folder / KEYS_FILE)
    arrays = load_arrays(folder / VALUES_FILE)
    history = History()
    ends = np.cumsum(arrays["lengths"])
    for place, key in enumerate(keys):
        recent = arrays["values"][ends[place] - arrays["lengths"][place] : ends[place]].tolist()
        history.trails[key] = Trail(
            recent=deque(recent),
            ordered=sorted(recent),
            count=int(arrays["count"][place]),
            newest_time=float(arrays["newest_time"][place]),
            mean=float(arrays["mean"][place]),
        )
    return history
