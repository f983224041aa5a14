"""A copy of the model on each rank, the optimiser's state in shards (ZeRO, stage 1)."""

import inspect
from typing import Any

from torch import nn
from torch.optim import Optimizer

from crowdrun.training.checkpoints.tensors import Held, held
from crowdrun.training.strategies.base import Setup
from crowdrun.training.strategies.ddp import Ddp


class Zero1(Ddp):
    """Each rank steps its part of the parameters and sends them to the others (Rajbhandari et al., "ZeRO", 2020)."""

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__(setup, settings)
        self.optimizer = _sharded(self.model, self.optimizer)

    def held(self) -> Held:
        # The optimiser in it has this rank's part alone.
        return held(self.model, getattr(self.optimizer, "optim"))  # noqa: B009


def _sharded(model: nn.Module, optimizer: Optimizer) -> Optimizer:
    """The same optimiser over this rank's part of the same groups of parameters."""
    # Here, since the package compiles a dozen optimisers that nobody else needs, with a way of torch's own that warns.
    from torch.distributed.optim import ZeroRedundancyOptimizer

    kind = type(optimizer)
    known = inspect.signature(kind).parameters
    # A subclass may fix what its base class keeps among the defaults, as AdamW does with `decoupled_weight_decay`.
    defaults = {name: value for name, value in optimizer.defaults.items() if name in known}
    groups = [
        {name: value for name, value in group.items() if name == "params" or name in known}
        for group in optimizer.param_groups
    ]
    one = len(groups) == 1
    parameters: Any = list(model.parameters()) if one else groups
    return ZeroRedundancyOptimizer(parameters, optimizer_class=kind, **defaults)
