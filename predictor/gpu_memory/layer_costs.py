"""What each layer of a sequence costs, and what comes out of it, from one traced pass."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.distributed.pipelining._utils import TensorMeta, extract_tensor_metas
from torch.nn import Module
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from crowdrun.predictor.gpu_memory.trace import MemoryTrace

#: Arithmetic operations in the time of one byte that is written: a round figure between processors (about 5) and cards
#: (10 to 20 in fp32). Convolutions and products compute, everything else waits for memory.
OPERATIONS_PER_BYTE = 10.0


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of the pass."""

    #: Arithmetic operations of the forward pass, and those that its bytes take the time of.
    cost: float
    #: Shape, layout and type of what comes out.
    out: TensorMeta


def traced_layers(layers: Sequence[Module], inputs: Tensor, trace: MemoryTrace, precision: str) -> list[Layer]:
    """Each layer on what the one before it makes of one micro-batch. Equal layers are gone through once."""
    found, known = [], dict[Any, tuple[Layer, Tensor]]()
    seen = inputs
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        for layer in layers:
            kind = (repr(layer), seen.shape, seen.dtype, seen.requires_grad)
            if kind not in known:
                known[kind] = _gone_through(layer, seen, trace)
            one, seen = known[kind]
            found.append(one)
    return found


def _gone_through(layer: Module, entering: Tensor, trace: MemoryTrace) -> tuple[Layer, Tensor]:
    begun = len(trace.timeline.nbytes)
    with _Counted() as counted:
        out = layer(entering)
    written = sum(trace.timeline.nbytes[begun:])
    (meta,) = extract_tensor_metas((out,)) or ()
    leaving = out.detach().requires_grad_(out.requires_grad)
    return Layer(cost=counted.operations + OPERATIONS_PER_BYTE * written, out=meta), leaving


class _Counted(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts arithmetic operations by torch's own formulas."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations = 0.0

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        del types
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.operations += formula(*args, **(kwargs or {}), out_val=out)
        return out
