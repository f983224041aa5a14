"""What lies in a folder of shards: `shards.json`, beside them.

{"shards": [{"name": "000000.tar", "samples": 512, "bytes": 1576960, "sha256": "…"}]}
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import fsspec

from crowdrun.data.errors import DatasetError

INDEX_FILE = "shards.json"


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One tar file."""

    name: str
    samples: int
    bytes: int
    sha256: str


def index_text(shards: Sequence[Shard]) -> str:
    """The index as a file holds it."""
    return json.dumps({"shards": [asdict(shard) for shard in shards]}, indent=1)


def read_index(url: str, storage_options: Mapping[str, Any]) -> tuple[Shard, ...]:
    """The shards of a folder, by any address of fsspec.

    Raises:
        DatasetError: there is no index there, it is none, or nothing that speaks this kind of address is installed.
    """
    address = f"{url.rstrip('/')}/{INDEX_FILE}"
    try:
        with fsspec.open(address, "rb", **storage_options) as stream:
            table = json.loads(stream.read())
        return tuple(Shard(**shard) for shard in table["shards"])
    except ImportError as error:
        raise DatasetError(f"{address} cannot be read: {error}; for http run pip install 'crowdrun[http]'") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        said = f"{type(error).__name__}: {error}"
        raise DatasetError(f"{address} is no index of shards ({said}); `write_shards` makes one") from error
