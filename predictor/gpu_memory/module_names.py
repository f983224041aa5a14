"""Which module's forward pass is running, by number, told to the trace by torch's global hooks."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch.nn import Module
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from crowdrun.predictor.gpu_memory.trace import MemoryTrace


class ModuleNames:
    """Modules by number: 0 is what belongs to none, 1 the model itself, and so on in the order of `named_modules`."""

    def __init__(self, model: Module) -> None:
        self.names, self.kinds = [""], [""]
        self._numbers: dict[int, int] = {}
        #: Number of a parameter's or buffer's module, by the tensor's identity; the first module that has it counts.
        self.owner: dict[int, int] = {}
        for name, module in model.named_modules():
            number = self._numbers[id(module)] = len(self.names)
            self.names.append(name)
            self.kinds.append(type(module).__name__.removeprefix("FSDP"))
            for tensor in (*module._parameters.values(), *module._buffers.values()):
                if tensor is not None:
                    self.owner.setdefault(id(tensor), number)

    @contextmanager
    def told_to(self, trace: MemoryTrace) -> Iterator[None]:
        """While the context lasts, `trace.module` is the number of the innermost module that runs."""
        numbers, stack = self._numbers, []

        def enter(module: Module, args: Any) -> None:
            del args
            stack.append(trace.module)
            trace.module = numbers.get(id(module), trace.module)

        def leave(module: Module, args: Any, output: Any) -> None:
            del module, args, output
            error = sys.exc_info()[1]
            if error is not None and id(error) != trace.failure[0]:
                trace.failure = id(error), trace.module
            trace.module = stack.pop()

        trace.names = lambda number: f"{self.names[number]} ({self.kinds[number]})".strip()
        # always_call: a checkpoint stops its recomputation with an exception.
        hooks = [register_module_forward_pre_hook(enter), register_module_forward_hook(leave, always_call=True)]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()
