"""What each layer of a sequence costs, measured: a pipeline is cut by it."""

import time
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.utils.data import default_collate

from crowdrun.data.pipeline.loss_apart import inputs_of
from crowdrun.training.strategies.base import Setup
from crowdrun.training.strategies.micro_batches import to_device

#: Passes of which the fastest counts, after one to warm up.
PASSES = 2


def costs_s(setup: Setup, layers: Sequence[nn.Module]) -> list[float]:
    """Time of each layer, forward and back, on one micro-batch of the task's own samples, s."""
    samples = setup.task.data("train", setup.options)
    batch = to_device(default_collate([samples[index] for index in range(2)]), setup)
    state = torch.get_rng_state()
    try:
        seen = inputs_of(setup.task.loss, batch)
        costs, known = [], dict[tuple[object, ...], tuple[float, Tensor]]()
        for layer in layers:
            # Thousands of equal layers are measured once; what comes out of one has the right shape for the next.
            kind = (repr(layer), seen.shape)
            if kind not in known:
                known[kind] = _timed(layer.to(setup.ranks.device), seen)
                layer.to("cpu")
            cost, seen = known[kind]
            costs.append(cost)
        return costs
    finally:
        torch.set_rng_state(state)


def _timed(layer: nn.Module, inputs: Tensor) -> tuple[float, Tensor]:
    best, out = float("inf"), inputs
    buffers = [(buffer, buffer.clone()) for buffer in layer.buffers()]
    for number in range(PASSES + 1):
        entering = inputs.detach().requires_grad_(inputs.is_floating_point())
        begun = time.perf_counter()
        out = layer(entering)
        if out.requires_grad:
            torch.autograd.backward(out.sum())
        if out.is_cuda:
            torch.cuda.synchronize()
        if number:
            best = min(best, time.perf_counter() - begun)
    layer.zero_grad(set_to_none=True)
    # Running means and the like are as before.
    for buffer, before in buffers:
        buffer.copy_(before)
    return max(best, 1e-9), out.detach()
