"""A bidirectional LSTM that tells whether a text is friendly.

    crowdrun run bilstm

The network of Keras' example "Bidirectional LSTM on IMDB" (F. Chollet, 2020): 20,000 words in 128 dimensions, two
bidirectional LSTMs (Hochreiter and Schmidhuber, 1997; Graves and Schmidhuber, 2005) of 64 units each.
"""

from torch import Tensor, nn

from crowdrun.data.task import Split, TrainingOptions
from crowdrun.training.datasets.base import Samples
from crowdrun.training.datasets.reviews import reviews
from crowdrun.training.models.classification import loss, score
from crowdrun.training.optimizers import by_name as optimizer
from crowdrun.training.task_options import whole

__all__ = ["data", "loss", "model", "optimizer", "score"]

VOCABULARY, EMBEDDED, UNITS, LENGTH = 20_000, 128, 64, 200


class BiLstm(nn.Module):
    """Numbers of words (samples, length) to logits (samples, 2)."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, EMBEDDED)
        self.recurrent = nn.LSTM(EMBEDDED, UNITS, num_layers=2, bidirectional=True, batch_first=True)
        self.end = nn.Linear(2 * UNITS, 2)

    def forward(self, words: Tensor) -> Tensor:
        _, (last, _) = self.recurrent(self.embedding(words))
        # The last state of each direction of the upper layer.
        logits: Tensor = self.end(last[-2:].transpose(0, 1).flatten(1))
        return logits


def model(options: TrainingOptions) -> nn.Module:
    """Option: `vocabulary` (20,000), numbers that a word can have."""
    return BiLstm(whole(options, "vocabulary", VOCABULARY, least=1000))


def data(split: Split, options: TrainingOptions) -> Samples:
    """Options: `length` (200) of a text in words, `data`, `samples`."""
    vocabulary = whole(options, "vocabulary", VOCABULARY, least=1000)
    return reviews(split, options, vocabulary=vocabulary, length=whole(options, "length", LENGTH, least=8))


if __name__ == "__main__":
    from crowdrun.training.worker import alone

    alone(__file__, TrainingOptions(epochs=6, batch_size=32, learning_rate=3e-3, extra={"length": 48}))
