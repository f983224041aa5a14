"""The convolutions of a traced step: what cuDNN's choice of an algorithm, and so of its workspace, depends on.

cuDNN takes its workspace from torch's allocator while a convolution runs (aten/src/ATen/native/cudnn/Conv_v8.cpp). How
much is a matter of the algorithm that it finds fastest on the card, which cannot be traced; the sizes can.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

#: Schema -> whether it is the backward pass.
CONVOLUTIONS = {"aten::convolution": False, "aten::convolution_backward": True}


@dataclass(frozen=True, kw_only=True, slots=True)
class Convolution:
    """One call of a convolution's kernel."""

    #: Number of events of the timeline before it.
    event: int
    backward: bool
    input_bytes: int
    output_bytes: int
    weight_bytes: int
    #: Elements of the kernel's window: 9 for 3 x 3.
    taps: int
    groups: int
    strided: bool

    @property
    def kind(self) -> str:
        """
        >>> Convolution(event=0, backward=False, input_bytes=8, output_bytes=8, weight_bytes=8, taps=9, groups=1,
        ...             strided=False).kind
        'window'
        """
        if self.groups > 1:
            return "grouped"
        return "pointwise" if self.taps == 1 else "strided" if self.strided else "window"

    @property
    def shape(self) -> tuple[int, ...]:
        """What cuDNN chooses by: two calls of one shape run the same kernel."""
        return (
            self.backward, self.input_bytes, self.output_bytes, self.weight_bytes, self.taps, self.groups, self.strided
        )  # fmt: skip


#: A window is 3 x 3 and larger, with a stride of 1.
KINDS = ("window", "strided", "pointwise", "grouped")


def convolution_of(name: str, args: Sequence[Any], output_bytes: int, event: int) -> Convolution:
    """The record of a call by its schema's name and arguments (aten/src/ATen/native/native_functions.yaml).

    Args:
        output_bytes: of the forward pass's result; the backward pass has it in the shape of the first argument.
    """
    backward = CONVOLUTIONS[name]
    given, weight = (args[1], args[2]) if backward else (args[0], args[1])
    return Convolution(
        event=event,
        backward=backward,
        input_bytes=_nbytes(given),
        output_bytes=_nbytes(args[0]) if backward else output_bytes,
        weight_bytes=_nbytes(weight),
        taps=prod(weight.shape[2:]),
        groups=int(args[9] if backward else args[8]),
        strided=any(step > 1 for step in args[4 if backward else 3]),
    )


def _nbytes(tensor: "Tensor") -> int:
    return tensor.numel() * tensor.dtype.itemsize
