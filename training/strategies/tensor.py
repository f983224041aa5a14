"""The matrices of the model divided over the ranks (tensor parallelism, DTensor)."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from crowdrun.data.errors import ConfigError
from crowdrun.training.batches import Share
from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.base import GradientStrategy, Setup, as_reader
from crowdrun.training.strategies.flat import sum_gradients
from crowdrun.training.strategies.mesh import group_size, two_levels
from crowdrun.training.strategies.whole_state import whole_state

#: Between the two matrices of a pair each element must be treated by itself. Dropout is none of these: each rank
#: would drop the same places of its own part.
ELEMENTWISE = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.Sigmoid, nn.Identity, nn.LeakyReLU, nn.ELU)


class TensorParallel(GradientStrategy):
    """The first matrix of a pair by columns, the second by rows (Shoeybi et al., "Megatron-LM", 2019).

    A task may give the plan itself: `tensor_plan(model)`, name -> style, as `parallelize_module` takes it.
    """

    def __init__(self, setup: Setup, settings: Any) -> None:
        super().__init__(setup, settings)
        self.replica = setup.model()
        own = getattr(setup.task, "tensor_plan", None)
        plan = own(self.replica) if own else pairs_of(self.replica)
        if not plan:
            raise ConfigError(
                "the strategy tensor found no two Linear layers with nothing but an activation between them; "
                "define tensor_plan(model) in the task, or take another strategy"
            )
        self.mesh = two_levels(setup.ranks, inside=self.tensor_ranks())
        self.replica = parallelize_module(self.replica, self.mesh["inside"], dict(plan))
        self.optimizer = setup.task.optimizer(self.replica, setup.options)
        for group in self.optimizer.param_groups:
            # Divided and whole parameters cannot go into one call for all.
            group["foreach"] = False

    def tensor_ranks(self) -> int:
        """Ranks that divide one copy."""
        return self.setup.ranks.world_size

    @property
    def reader(self) -> Ranks:
        return as_reader(self.setup.ranks, number=self.mesh.get_local_rank("across"), of=self.mesh["across"].size())

    @property
    def counts(self) -> bool:
        return self.mesh.get_local_rank("inside") == 0

    def weights(self) -> dict[str, Tensor]:
        return whole_state(self.replica)


class TensorCopies(TensorParallel):
    """Copies of a model whose matrices are divided: across the nodes the data is divided, inside each the matrices."""

    def tensor_ranks(self) -> int:
        return group_size(self.settings.tensor_ranks, self.setup.ranks, "tensor_ranks")

    def after_backward(self) -> None:
        if self.mesh["across"].size() > 1:
            sum_gradients(self.replica, self.mesh.get_group("across"))

    def weight(self, share: Share) -> float:
        """The gradients of the copies are added up."""
        return share.samples / share.together


def pairs_of(model: nn.Module) -> Mapping[str, ParallelStyle]:
    """Pairs of Linear layers in the sequences of a model.

    >>> sorted(pairs_of(nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2), nn.ReLU(), nn.Linear(2, 2))))
    ['0', '2']
    """
    plan: dict[str, ParallelStyle] = {}
    for prefix, module in model.named_modules():
        first: str | None = None
        for name, part in module.named_children() if isinstance(module, nn.Sequential) else ():
            path = f"{prefix}.{name}" if prefix else name
            if isinstance(part, nn.Linear):
                if first is None:
                    first = path
                else:
                    plan[first], plan[path], first = ColwiseParallel(), RowwiseParallel(), None
            elif not isinstance(part, ELEMENTWISE):
                first = None
    return plan
