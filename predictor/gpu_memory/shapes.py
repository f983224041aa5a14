"""What an operation returns, asked of torch's FakeTensorMode once for each combination of operation and arguments.

The same layers come again and again in a network and in each step: the answers are remembered by the operation and the
shape, stride and type of each argument, which makes an operation some 20 times cheaper.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils import _pytree as pytree

_LOGGER = logging.getLogger("torch._subclasses.fake_tensor")
#: One tensor that an operation returns: size, stride or None where contiguous, dtype, elements of its storage where
#: they are more than its own.
Shape = tuple[tuple[int, ...], tuple[int, ...] | None, torch.dtype, int | None]


#: Losses whose result is summed up in the place of the elements' losses, and keeps that place
#: (aten/src/ATen/native/BinaryOps.cpp, TORCH_META_FUNC); their fake implementation does not say so.
_SUMMED_IN_PLACE = {"aten::mse_loss", "aten::smooth_l1_loss"}


class OutputShapes:
    """Memory of what each operation returned."""

    def __init__(self) -> None:
        self._fake_mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._known: dict[Any, tuple[Any, int]] = {}

    def of(self, operation: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, int]:
        """The operation's result with a Shape in each tensor's place, and the number of elements in all.

        Raises:
            Exception: whatever FakeTensorMode says of an operation that cannot be traced.
        """
        key = (operation, _key(args), tuple((name, _key_of(value)) for name, value in kwargs.items()))
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._ask(operation, args, kwargs)
        return found

    def _ask(self, operation: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, int]:
        with self._fake_mode, _quiet():
            faked_args, faked_kwargs = pytree.tree_map_only(Tensor, _fake, (tuple(args), dict(kwargs)))
            result = operation(*faked_args, **faked_kwargs)
            least = 0
            if operation._schema.name in _SUMMED_IN_PLACE:
                least = torch.broadcast_shapes(faked_args[0].shape, faked_args[1].shape).numel()  # type: ignore[no-untyped-call]
        elements = 0

        def shape(tensor: Tensor) -> "ShapeOf":
            nonlocal elements
            elements += tensor.numel()
            stride = None if tensor.is_contiguous() else tensor.stride()
            stored = max(-(-tensor.untyped_storage().nbytes() // tensor.dtype.itemsize), least)
            return ShapeOf((tuple(tensor.shape), stride, tensor.dtype, None if stored == tensor.numel() else stored))

        return pytree.tree_map_only(Tensor, shape, result), elements


class ShapeOf:
    """A Shape that is a leaf of a result."""

    __slots__ = ("shape",)

    def __init__(self, shape: Shape) -> None:
        self.shape = shape


@contextmanager
def _quiet() -> Iterator[None]:
    """An error is raised, and told once, by who asks; FakeTensorMode would log it as well."""
    before, _LOGGER.disabled = _LOGGER.disabled, True
    try:
        yield
    finally:
        _LOGGER.disabled = before


def _fake(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cpu")


def _key(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple([_key_of(value) for value in values])


def _key_of(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.shape, value.stride(), value.dtype
    if isinstance(value, list | tuple):
        return _key(value)
    # 1, 1.0 and True are equal, but give other types of result.
    return type(value), value
