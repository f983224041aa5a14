"""The weights of a model that lies in parts on several ranks."""

from torch import Tensor, nn
from torch.distributed.tensor import DTensor


def whole_state(model: nn.Module) -> dict[str, Tensor]:
    """Every weight and buffer as one tensor, on all ranks: they call it together."""
    state = model.state_dict()
    return {name: value.full_tensor() if isinstance(value, DTensor) else value for name, value in state.items()}
