"""Loss and score of the tasks that name the next token at each place of a text."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

Batch = tuple[Tensor, Tensor]


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy; the model makes logits (samples, places, tokens)."""
    tokens, following = batch
    return functional.cross_entropy(model(tokens).flatten(0, 1), following.flatten())


def score(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """The share of places, for each sample, where the likeliest token is the one that follows."""
    tokens, following = batch
    return {"accuracy": (model(tokens).argmax(2) == following).float().mean(1)}
