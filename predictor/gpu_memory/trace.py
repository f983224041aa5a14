"""Watches the operations of a program: computes none, and writes down every storage that comes and goes.

The program is any plain torch code. What is small and known (a constant, a schedule of drop rates, a step counter) is
computed for real, so that a constructor may read it with `.item()`; everything else is a phantom. A storage is followed
by a weak reference, so that what is freed is freed when it would be.
"""

import math
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException
from torch.utils._python_dispatch import TorchDispatchMode

from crowdrun.data.errors import ForecastError
from crowdrun.predictor.gpu_memory.convolutions import CONVOLUTIONS, convolution_of
from crowdrun.predictor.gpu_memory.operations import (
    NATIVE_NAMESPACES,
    SHAPE_QUESTIONS,
    Effect,
    effect_of,
    is_foreach,
    is_undefined,
    written_places,
)
from crowdrun.predictor.gpu_memory.phantom import PhantomMemory
from crowdrun.predictor.gpu_memory.shapes import OutputShapes, ShapeOf
from crowdrun.predictor.gpu_memory.timeline import Timeline

#: The softmax of attention that runs in no fused kernel.
ATTENTION_MAP = "aten::_safe_softmax"
#: A result of up to so many elements, made of nothing but known values, is computed for real.
SMALL = 4096


_PLAIN = {Tensor, torch.nn.Parameter}


class _Follower(weakref.ref[Any]):
    """A weak reference to a storage that knows the storage's address, and its number in the timeline."""

    __slots__ = ("address", "number")
    address: int
    number: int


class MemoryTrace(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """The mode under which a program is traced; `timeline` is what it saw.

    Args:
        extra_bytes: operation -> what the device's kernel takes while it runs, in bytes, from the arguments.
    """

    def __init__(self, extra_bytes: Mapping[str, Callable[..., int]] | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.timeline = Timeline()
        self.memory = PhantomMemory()
        #: Number of the module whose forward pass is running.
        self.module = 0
        #: Number of the module -> its name, for messages.
        self.names: Callable[[int], str] = str
        #: The last error that a module's forward pass was left with (its id: an error holds what its frames held), and
        #: the innermost such module.
        self.failure = (0, 0)
        #: Schema -> what is done in its place, as `special(func, args, kwargs)`.
        self.specials: dict[str, Callable[..., Any]] = {}
        self._shapes = OutputShapes()
        #: Numbers of storages whose memory was given up while their tensors stay.
        self._given_up: set[int] = set()
        self._extra_bytes = extra_bytes or {}
        #: By the address of the storage.
        self._followers: dict[int, _Follower] = {}
        #: Addresses of storages that held values until something unknown was written into them.
        self._tainted: set[int] = set()

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # Nothing here is ever compiled, and the guard around each operation costs as much as the operation.
        return False

    def number_of(self, tensor: Tensor) -> int | None:
        """The number of the tensor's storage in the timeline."""
        follower = self._followers.get(tensor.untyped_storage()._cdata)
        return None if follower is None else follower.number

    def restart(self) -> None:
        """Forget all that was seen: what follows is what the device sees."""
        self.timeline = Timeline()
        self._followers = {}

    def stop(self) -> None:
        """Follow nothing any more: what goes now, goes unseen."""
        self._followers = {}

    def adopt(self, tensor: Tensor) -> None:
        """Follow a tensor that was made elsewhere."""
        self._follow(tensor)

    def give_up(self, tensor: Tensor) -> None:
        """The tensor's memory is gone, though the tensor is not (as FSDP resizes a storage to 0)."""
        number = self.number_of(tensor)
        if number is not None and number not in self._given_up:
            self._given_up.add(number)
            self.timeline.free(number)

    def take_again(self, tensor: Tensor) -> int | None:
        """The tensor's memory is there again; returns its number."""
        number = self.number_of(tensor)
        if number in self._given_up:
            self._given_up.discard(number)
            self.timeline.events.append(number + 1)
        return number

    def __torch_dispatch__(
        self, func: OpOverload, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if types and any(one not in _PLAIN for one in types):
            # A tensor made of others (DTensor) says first what is to be done with those.
            return NotImplemented
        kwargs = kwargs or {}
        special = self.specials.get(func._schema.name)
        if special is not None:
            return special(func, args, kwargs)
        effect = effect_of(func)
        if effect is Effect.VIEWS or func.namespace in NATIVE_NAMESPACES:
            return self._native(func, args, kwargs)
        if effect is Effect.WRITES:
            return self._write(func, args, kwargs)
        if effect is Effect.ANSWERS:
            return self._answer(func, args, kwargs)
        return self._make(func, args, kwargs)

    def _native(self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        result = func(*args, **kwargs)
        for tensor in _tensors(result):
            self._follow(tensor)
        return result

    def _write(self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        places = written_places(func)
        if self._known(args, kwargs):
            return self._native(func, args, kwargs)
        for tensor in _tensors(args):
            if not self.memory.holds(tensor) and _is_written(func):
                self._tainted.add(tensor.untyped_storage()._cdata)
                break
        self._take_for_a_while(func, args, kwargs)
        found = [kwargs[place] if isinstance(place, str) else args[place] for place in places]
        return None if not found else found[0] if len(found) == 1 else tuple(found)

    def _answer(self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if func._schema.name.removeprefix("aten::") in SHAPE_QUESTIONS or self._known(args, kwargs):
            return func(*args, **kwargs)
        raise ForecastError(
            f"{self.where()} reads a value that only a real run has ({func}): what it does next may depend on the "
            "data, and the forecast computes no data; take `.item()`, `if tensor:` or the like out of the step"
        )

    def _make(self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        if is_foreach(func):
            return self._follow_all([self.memory.tensor(one.shape, None, one.dtype) for one in args[0]])
        known = not is_undefined(func) and self._known(args, kwargs)
        result, elements = self._shape_of(func, args, kwargs, known)
        if result is None or (known and elements <= SMALL):
            return self._native(func, args, kwargs)
        self._take_for_a_while(func, args, kwargs)
        self._note(func._schema.name, args, result)
        return self._phantoms(result)

    def _note(self, name: str, args: Sequence[Any], result: Any) -> None:
        """What the device's own choices depend on, for who learns from measurements."""
        if name in CONVOLUTIONS:
            made = _nbytes(result) if type(result) is ShapeOf else 0
            self.timeline.convolutions.append(convolution_of(name, args, made, len(self.timeline.events)))
        elif name == ATTENTION_MAP:
            self.timeline.attention_maps.append((len(self.timeline.events), _nbytes(result)))

    def _shape_of(
        self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any], known: bool
    ) -> tuple[Any, int]:
        try:
            return self._shapes.of(func, args, kwargs)
        except (DataDependentOutputException, DynamicOutputShapeException) as error:
            if known:
                return None, 0
            raise ForecastError(
                f"{self.where()} makes a tensor whose size depends on the data ({func}), which a forecast does not "
                "have; write the step with sizes that are known beforehand"
            ) from error
        except NotImplementedError as error:
            raise ForecastError(
                f"{self.where()} calls {func}, which says nothing about its result without computing it; "
                "register a fake implementation for it (torch.library.register_fake)"
            ) from error

    def _phantoms(self, result: Any) -> Any:
        """The result with a phantom in each shape's place."""
        if isinstance(result, list | tuple):
            return [self._phantoms(one) for one in result]
        return self._phantom(result) if type(result) is ShapeOf else result

    def _phantom(self, result: ShapeOf) -> Tensor:
        tensor = self.memory.tensor(*result.shape)
        self._follow(tensor)
        return tensor

    def _follow_all(self, tensors: list[Tensor]) -> list[Tensor]:
        for tensor in tensors:
            self._follow(tensor)
        return tensors

    def _take_for_a_while(self, func: OpOverload, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        extra = self._extra_bytes.get(func._schema.name)
        if extra is not None:
            self.timeline.free(self.timeline.allocate(extra(*args, **kwargs), module=self.module))

    def _known(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether all values are known: no argument is a phantom or was written to from one."""
        for value in (*args, *kwargs.values()) if kwargs else args:
            if isinstance(value, Tensor):
                if self.memory.holds(value) or (self._tainted and value.untyped_storage()._cdata in self._tainted):
                    return False
            elif isinstance(value, list | tuple) and value and not self._known(value, {}):
                return False
        return True

    def _follow(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        address = storage._cdata
        if address in self._followers:
            return
        follower = _Follower(storage, self._gone)
        follower.address = address
        follower.number = self.timeline.allocate(storage.nbytes(), module=self.module)
        self._followers[address] = follower

    def _gone(self, follower: _Follower) -> None:
        self._tainted.discard(follower.address)
        del self._followers[follower.address]
        number = follower.number
        if number in self._given_up:
            self._given_up.discard(number)
        else:
            self.timeline.free(number)

    def where(self, error: BaseException | None = None) -> str:
        """Where the program is, or where the error came from, for a message."""
        module = self.failure[1] if id(error) == self.failure[0] else self.module
        return f"the module {self.names(module)}" if module else "the step"


def _nbytes(result: ShapeOf) -> int:
    shape, _, dtype, _ = result.shape
    return math.prod(shape) * dtype.itemsize


def _is_written(func: OpOverload) -> bool:
    first = func._schema.arguments[0].alias_info if func._schema.arguments else None
    return first is not None and first.is_write


def _tensors(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, list | tuple):
        return [tensor for value in values for tensor in _tensors(value)]
    return []
