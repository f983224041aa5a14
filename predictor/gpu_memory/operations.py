"""What kind of thing an operation of torch does to memory, read from its schema once for each."""

from enum import Enum, auto
from functools import cache

import torch
from torch._ops import OpOverload


class Effect(Enum):
    """What an operation does."""

    #: Returns tensors of its own.
    MAKES = auto()
    #: Returns other views of its arguments' storage, or changes how an argument looks at it.
    VIEWS = auto()
    #: Writes into its arguments, and returns them or nothing.
    WRITES = auto()
    #: Returns no tensor: the answer is a value, or a choice that depends on shapes alone.
    ANSWERS = auto()


_aten = torch.ops.aten
#: The schema does not say that the result is a view of the argument.
_UNDECLARED_VIEWS = {
    _aten._unsafe_view.default, _aten.unsafe_split.Tensor, _aten.unsafe_split_with_sizes.default,
}  # fmt: skip
#: Reads shapes and types alone; needs no values.
SHAPE_QUESTIONS = {"_fused_sdp_choice", "sym_size", "sym_stride", "sym_numel", "sym_storage_offset", "is_same_size"}
#: Namespaces whose operations are run as they are: marks of the profiler.
NATIVE_NAMESPACES = {"profiler"}
#: Leaves its result undefined: there is no value to keep, however small it is.
_UNDEFINED = {"empty", "empty_strided", "empty_like", "new_empty", "new_empty_strided", "empty_permuted"}


@cache
def effect_of(operation: OpOverload) -> Effect:
    """
    >>> effect_of(torch.ops.aten.relu.default).name, effect_of(torch.ops.aten.relu_.default).name
    ('MAKES', 'WRITES')
    >>> effect_of(torch.ops.aten.t.default).name, effect_of(torch.ops.aten._local_scalar_dense.default).name
    ('VIEWS', 'ANSWERS')
    """
    returns = operation._schema.returns
    aliases = [one.alias_info for one in returns if one.alias_info is not None]
    if torch.Tag.inplace_view in operation.tags or operation in _UNDECLARED_VIEWS:
        return Effect.VIEWS
    if any(not alias.is_write for alias in aliases):
        return Effect.VIEWS
    if not returns or len(aliases) == len(returns):
        return Effect.WRITES
    if not any("Tensor" in str(one.type) for one in returns):
        return Effect.ANSWERS
    return Effect.MAKES


@cache
def written_places(operation: OpOverload) -> tuple[int | str, ...]:
    """Where the arguments are that a WRITES operation returns: a place, or a name for a keyword-only argument."""
    places: dict[str, int | str] = {}
    for place, argument in enumerate(operation._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            for name in argument.alias_info.before_set:
                places[name] = argument.name if argument.kwarg_only else place
    return tuple(
        places[name]
        for one in operation._schema.returns
        for name in (one.alias_info.before_set if one.alias_info else ())
    )


@cache
def is_undefined(operation: OpOverload) -> bool:
    """Whether the operation makes a tensor without giving it values."""
    return operation._schema.name.removeprefix("aten::") in _UNDEFINED


@cache
def is_foreach(operation: OpOverload) -> bool:
    """Whether the operation maps lists of tensors to a list of the first one's shapes."""
    return operation._schema.name.startswith("aten::_foreach_")
