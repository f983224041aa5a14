"""Arrays on disk: npz without pickle."""

from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from crowdrun.data.errors import ModelError


def load_arrays(file: Path) -> dict[str, NDArray[np.generic]]:
    """Every array of an npz file by name.

    Raises:
        ModelError: the file is missing, not an npz, or would need pickle.
    """
    try:
        # Opened here: of a truncated file, numpy would leave it open.
        with file.open("rb") as stream:
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, NpzFile):
                raise ValueError("it holds one array, not an archive of them")
            return dict(archive)
    except (OSError, ValueError, EOFError, KeyError, BadZipFile) as error:
        raise ModelError(
            f"cannot read the model file {file}: {error}; publish the model anew with `crowdrun retrain`"
        ) from error
