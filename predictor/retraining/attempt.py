"""The last time that a retraining was tried, whether or not it published: `attempt.json` in the models folder.

The triggers count from there. Without it a challenger that was not better would be trained again every minute.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import ModelError

FILE = "attempt.json"


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One retraining."""

    #: UTC epoch seconds.
    when: float
    #: The place in the job history that was read (`data/store_follow.py`).
    store_position: int
    #: What it published; None when the model in use stayed.
    published: str | None
    #: The report, as in a manifest.
    report: Mapping[str, Any]

    def write(self, models_dir: Path) -> None:
        """Replace what was there.

        Raises:
            ModelError: the folder cannot be written.
        """
        content = json.dumps(asdict(self), indent=1, allow_nan=False).encode() + b"\n"
        try:
            models_dir.mkdir(parents=True, exist_ok=True)
            write_atomically(models_dir / FILE, content)
        except OSError as error:
            raise ModelError(
                f"cannot write {models_dir / FILE}: {error.strerror}; the models are as they were"
            ) from error

    @classmethod
    def last(cls, models_dir: Path) -> Self | None:
        """The last one; None when there was none, or when what it wrote cannot be read: that only makes the next
        retraining come early.
        """
        try:
            return cls(**json.loads((models_dir / FILE).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
