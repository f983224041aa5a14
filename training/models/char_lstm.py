"""A character LSTM of two layers of 512 units.

    crowdrun run char-lstm

After char-rnn (A. Karpathy, "The unreasonable effectiveness of recurrent neural networks", 2015): characters as one-hot
vectors, here the 128 of ASCII, and the next one as the answer.
"""

from torch import Tensor, nn
from torch.nn import functional

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.text_windows import text_windows
from crowdrun.training.models.next_token import loss, score
from crowdrun.training.optimizers import by_name as optimizer
from crowdrun.training.task_options import whole

__all__ = ["data", "loss", "model", "optimizer", "score"]

UNITS, LENGTH, ALPHABET = 512, 50, 128


class CharLstm(nn.Module):
    """Characters (samples, length) to logits (samples, length, 128)."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(ALPHABET, units, num_layers=2, batch_first=True, dropout=0.5)
        self.end = nn.Linear(units, ALPHABET)

    def forward(self, characters: Tensor) -> Tensor:
        one_hot = functional.one_hot(characters, ALPHABET).to(self.end.weight.dtype)
        logits: Tensor = self.end(self.recurrent(one_hot)[0])
        return logits


def model(options: TrainingOptions) -> nn.Module:
    """Option: `units` (512) of a layer."""
    return CharLstm(whole(options, "units", UNITS))


def data(split: Split, options: TrainingOptions) -> Samples:
    """Options: `length` (50), `data`, `samples`."""
    return text_windows(split, options, length=whole(options, "length", LENGTH), alphabet=ALPHABET)


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(batch_size=50, learning_rate=2e-3, extra={"units": 128, "samples": 2000}))
