"""A model's parameters as one long vector, and back."""

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import ProcessGroup
from torch.distributed.tensor import DTensor


def flattened(model: nn.Module) -> Tensor:
    """All parameters in their order: shape (parameters,), a copy."""
    return torch.cat([parameter.detach().reshape(-1) for parameter in model.parameters()])


def flattened_gradients(model: nn.Module) -> Tensor:
    """Their gradients in the same order, 0 where there is none."""
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).detach().reshape(-1) for p in model.parameters()]
    )


def sum_gradients(model: nn.Module, group: ProcessGroup | None) -> None:
    """Add up the gradients of the ranks of a group, which hold the same parameters, or the same parts of them."""
    own = [_local(parameter) for parameter in model.parameters()]
    total = torch.cat([_local_gradient(parameter).reshape(-1) for parameter in model.parameters()])
    dist.all_reduce(total, group=group)
    start = 0
    for parameter, mine in zip(model.parameters(), own, strict=True):
        part = total[start : start + mine.numel()].view_as(mine)
        start += mine.numel()
        if isinstance(parameter, DTensor):
            parameter.grad = DTensor.from_local(part, parameter.device_mesh, parameter.placements, run_check=False)
        else:
            parameter.grad = part


def _local(tensor: Tensor) -> Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def _local_gradient(parameter: Tensor) -> Tensor:
    return torch.zeros_like(_local(parameter)) if parameter.grad is None else _local(parameter.grad).detach()


def fill(model: nn.Module, values: Tensor) -> None:
    """Put `flattened` values back into the model."""
    start = 0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(values[start : start + parameter.numel()].view_as(parameter))
            start += parameter.numel()
