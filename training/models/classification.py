"""Loss and score of the tasks that name one class for each sample."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

Batch = tuple[Tensor, Tensor]


def loss(model: nn.Module, batch: Batch) -> Tensor:
    """Mean cross-entropy; the model makes logits (samples, classes)."""
    inputs, labels = batch
    return functional.cross_entropy(model(inputs), labels)


def score(model: nn.Module, batch: Batch) -> Mapping[str, Tensor]:
    """1 for each sample whose class has the largest logit, else 0."""
    inputs, labels = batch
    return {"accuracy": (model(inputs).argmax(1) == labels).float()}
