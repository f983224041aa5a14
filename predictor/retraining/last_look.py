"""The last time that somebody looked whether a retraining is needed: `look.json` in the models folder.

`crowdrun retrain --if-needed` writes it, by hand, from cron or from the service's schedule; the dashboard shows it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import ModelError

if TYPE_CHECKING:
    # What looks for drift loads scikit-learn, which who only reads the note does without.
    from crowdrun.predictor.retraining.triggers import Watched

FILE = "look.json"


@dataclass(frozen=True, kw_only=True)
class LastLook:
    """What the triggers saw."""

    #: UTC epoch seconds.
    when: float
    #: The id of the model in use.
    model_id: str
    #: The name of the trigger that fired.
    fired: str | None
    #: What each trigger said, up to the first that fired.
    said: Sequence[str]
    #: Target -> {"judged": jobs, "share": covered by the 95% quantile}; None when a cheaper trigger fired before.
    coverage: Mapping[str, Mapping[str, Any]] | None = None
    #: Drifts that were noticed, in words; None as above.
    alarms: Sequence[str] | None = None

    @classmethod
    def of(
        cls, *, when: float, model_id: str, fired: str | None, said: Sequence[str], watched: "Watched | None"
    ) -> Self:
        if watched is None:
            return cls(when=when, model_id=model_id, fired=fired, said=said)
        return cls(
            when=when, model_id=model_id, fired=fired, said=said,
            coverage={name: asdict(one) for name, one in watched.coverage.items()},
            alarms=[str(alarm) for alarm in watched.alarms],
        )  # fmt: skip

    def write(self, models_dir: Path) -> None:
        """Replace what was there.

        Raises:
            ModelError: the folder cannot be written.
        """
        content = json.dumps(asdict(self), indent=1, allow_nan=False).encode() + b"\n"
        try:
            write_atomically(models_dir / FILE, content)
        except OSError as error:
            raise ModelError(f"cannot write {models_dir / FILE}: {error.strerror}; look at its permissions") from error

    @classmethod
    def last(cls, models_dir: Path) -> Self | None:
        """The last one; None when there was none, or when what it wrote cannot be read."""
        try:
            return cls(**json.loads((models_dir / FILE).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None
