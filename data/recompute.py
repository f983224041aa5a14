"""Activation checkpointing of a model's repeated blocks, without a change to its code.

The forecast counts on it and the runner does it. Imports torch, as what uses it does.
"""

from collections import Counter
from functools import partial
from typing import Any

from torch.nn import Module, ModuleList, Sequential
from torch.utils.checkpoint import checkpoint


def checkpoint_blocks(model: Module) -> str:
    """Recompute each of the repeated blocks in the backward pass; says what was done.

    The blocks are the children of the lists (`Sequential`, `ModuleList`) that hold several of one class with
    parameters of their own, outermost first.
    """
    blocks = repeated_blocks(model)
    for block in blocks:
        block.forward = partial(_recomputed, block.forward)
    if not blocks:
        return "checkpointing: the model has no repeated blocks, so nothing is recomputed"
    kinds = Counter(type(block).__name__ for block in blocks)
    return "checkpointing: " + ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) + " recomputed"


def repeated_blocks(module: Module) -> list[Module]:
    """The outermost repeated blocks below the module."""
    if isinstance(module, Sequential | ModuleList):
        children = list(module.children())
        counts = Counter(type(child) for child in children)
        if children and max(counts.values()) > 1 and any(_is_block(child) for child in children):
            return [
                block
                for child in children
                for block in ([child] if counts[type(child)] > 1 and _is_block(child) else repeated_blocks(child))
            ]
    return [block for child in module.children() for block in repeated_blocks(child)]


def _is_block(module: Module) -> bool:
    """A module of several, with parameters; not itself a list of blocks."""
    return (
        any(True for _ in module.children())
        and not isinstance(module, Sequential | ModuleList)
        and next(module.parameters(), None) is not None
    )


def _recomputed(forward: Any, *args: Any, **kwargs: Any) -> Any:
    return checkpoint(forward, *args, use_reentrant=False, **kwargs)
