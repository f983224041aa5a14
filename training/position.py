"""Where a training stands."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(kw_only=True)
class Position:
    """Epoch, steps within it, and what an epoch's report is made of."""

    #: Steps since the start of the training.
    step: int = 0
    #: The epoch under way, 0 the first.
    epoch: int = 0
    #: Steps of it that are done.
    step_in_epoch: int = 0
    #: This rank's samples of it so far, and the sum of their losses.
    samples: int = 0
    loss_sum: float = 0.0
    #: Time spent on it by earlier attempts, s.
    earlier_s: float = 0.0
    #: A line for each epoch that is done.
    history: list[dict[str, Any]] = field(default_factory=list)

    def stepped(self, samples: int, loss: float) -> None:
        """Count one step."""
        self.step += 1
        self.step_in_epoch += 1
        self.samples += samples
        self.loss_sum += samples * loss

    def begin(self, epoch: int) -> None:
        """Stand before an epoch."""
        self.epoch, self.step_in_epoch, self.samples, self.loss_sum, self.earlier_s = epoch, 0, 0, 0.0, 0.0

    def to_table(self, *, spent_s: float = 0.0) -> dict[str, Any]:
        """What all ranks share of it; `from_table` reads it."""
        return {
            "step": self.step,
            "epoch": self.epoch,
            "step_in_epoch": self.step_in_epoch,
            "earlier_s": self.earlier_s + spent_s,
            "history": [dict(line) for line in self.history],
        }

    @classmethod
    def from_table(cls, table: Mapping[str, Any], *, samples: int, loss_sum: float) -> "Position":
        """The position of a rank with its own sums."""
        return cls(**{**table, "history": list(table["history"])}, samples=samples, loss_sum=loss_sum)
