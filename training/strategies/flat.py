"""A model's parameters as one long vector, and back."""

import torch
from torch import Tensor, nn


def flattened(model: nn.Module) -> Tensor:
    """All parameters in their order: shape (parameters,), a copy."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def flattened_gradients(model: nn.Module) -> Tensor:
    """Their gradients in the same order, 0 where there is none."""
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).detach().reshape(-1) for p in model.parameters()]
    )


def fill(model: nn.Module, values: Tensor) -> None:
    """Put `flattened` values back into the model."""
    start = 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(values[start : start + parameter.numel()].view_as(parameter))
            start += parameter.numel()
