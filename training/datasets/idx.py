"""The IDX format of the MNIST files (LeCun, Cortes, Burges: "The MNIST database", section on file formats).

Two zero bytes, the type, the number of dimensions, each dimension as a big-endian 32-bit number, then the values.
"""

import gzip
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.errors import ConfigError

_UNSIGNED_BYTES = 8


def read_idx(file: Path) -> NDArray[np.uint8]:
    """The array of unsigned bytes in an IDX file, gzipped or not.

    Raises:
        ConfigError: it cannot be read, is no IDX file of unsigned bytes, or is cut short.
    """
    try:
        content = gzip.decompress(file.read_bytes()) if file.suffix == ".gz" else file.read_bytes()
    except (OSError, EOFError, gzip.BadGzipFile) as error:
        raise ConfigError(f"cannot read {file}: {error}") from error
    if len(content) < 4 or content[:3] != bytes([0, 0, _UNSIGNED_BYTES]):
        raise ConfigError(f"{file} begins with {content[:4].hex()}; an IDX file of unsigned bytes begins with 000008")
    start = 4 + 4 * content[3]
    shape = tuple(int(n) for n in np.frombuffer(content[4:start], dtype=">u4"))
    if len(content) - start != prod(shape):
        raise ConfigError(f"{file} holds {len(content) - start} values in place of {prod(shape)}; fetch it again")
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape)
