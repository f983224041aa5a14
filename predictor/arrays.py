"""Arrays on disk: npz without pickle."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.errors import ModelError


def load_arrays(file: Path) -> dict[str, NDArray[np.generic]]:
    """Every array of an npz file by name.

    Raises:
        ModelError: the file is missing, not an npz, or would need pickle.
    """
    try:
        with np.load(file, allow_pickle=False) as archive:
            return dict(archive)
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise ModelError(
            f"cannot read the model file {file}: {error}; publish the model anew with `crowdrun retrain`"
        ) from error
