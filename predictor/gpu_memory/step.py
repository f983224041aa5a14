"""The training step that is traced: built, taken twice, and every storage named for what it was.

The first step makes the optimiser's state; the second finds it there, which is the steady state. A step of very many
operations is taken once, and its second pass is the first one's again (`repeat.py`).
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch.optim import Optimizer
from torch.utils._python_dispatch import _disable_current_modes

from crowdrun.data.errors import CrowdrunError, ForecastError
from crowdrun.data.forecast import ForecastSettings
from crowdrun.data.recompute import checkpoint_blocks
from crowdrun.predictor.gpu_memory.cuda_rules import CUDA_KERNEL_BYTES, KERNEL_BYTES, cuda_rules
from crowdrun.predictor.gpu_memory.module_names import ModuleNames
from crowdrun.predictor.gpu_memory.program import Program
from crowdrun.predictor.gpu_memory.repeat import repeat_step
from crowdrun.predictor.gpu_memory.sharding import Sharding, sharding_for
from crowdrun.predictor.gpu_memory.timeline import KIND, Timeline
from crowdrun.predictor.gpu_memory.trace import SMALL, MemoryTrace

STEPS = 2
#: What `torch.nn.init.trunc_normal_` calls; it looks whether any value is out of bounds.
_TRUNCATED = "_no_grad_trunc_normal_"
#: From so many events on, the second step is not taken but repeated.
MANY_EVENTS = 100_000


@dataclass(frozen=True, kw_only=True)
class TracedStep:
    """What came of it."""

    timeline: Timeline
    names: ModuleNames
    #: True for each storage that stays in host memory.
    on_host: np.ndarray
    parameters: int
    #: Number of events before each step.
    step_starts: tuple[int, ...]
    notes: tuple[str, ...]
    #: Of a pipeline: the first and the last layer of each stage of the rank.
    layers: str = ""


def trace_step(program: Program, settings: ForecastSettings) -> TracedStep:
    """Trace it.

    Raises:
        ForecastError: it cannot be traced, or fails by itself; the message says where and why.
    """
    trace = MemoryTrace(CUDA_KERNEL_BYTES if settings.device == "cuda" else KERNEL_BYTES)
    with ExitStack() as stack:
        stack.enter_context(_errors_named(trace))
        sharding = stack.enter_context(sharding_for(settings, trace))
        stack.enter_context(cuda_rules() if settings.device == "cuda" else nullcontext())
        stack.enter_context(without_onednn())
        stack.enter_context(trace)
        return _Tracing(program, settings, trace, sharding).run()


class _Tracing:
    """The life of one trace."""

    def __init__(self, program: Program, settings: ForecastSettings, trace: MemoryTrace, sharding: Sharding) -> None:
        self.program, self.settings, self.trace, self.sharding = program, settings, trace, sharding
        self.on_host: set[int] = set()
        self.notes: list[str] = []
        #: A training loop has it in a variable until the next step.
        self._last_loss: Tensor | None = None

    def run(self) -> TracedStep:
        model = self._build()
        _refuse_compiled(model)
        model.train(self.settings.training)
        if self.settings.checkpointing:
            self.notes.append(checkpoint_blocks(model))
        parameters = sum(parameter.numel() for parameter in model.parameters())
        model = self.sharding.place(model, self.program)
        names = ModuleNames(model)
        self.trace.restart()
        self._adopt(model, names)
        with names.told_to(self.trace):
            starts = self._train(model, names) if self.settings.training else self._infer(model)
        del model
        if self._is_long(starts):
            # What the model and its optimiser held of this process is free by now.
            repeat_step(self.trace.timeline, starts)
        return TracedStep(
            timeline=self.trace.timeline,
            names=names,
            on_host=self._host_mask(),
            parameters=parameters,
            step_starts=tuple(starts),
            notes=tuple(note for note in (*self.notes, *self.sharding.notes) if note),
            layers=self.sharding.layers,
        )

    def _build(self) -> Module:
        """The model on phantoms; one whose constructor reads what only real tensors have is made for real first."""
        torch.manual_seed(0)
        try:
            with mock.patch.object(torch.nn.init, _TRUNCATED, self._truncated(getattr(torch.nn.init, _TRUNCATED))):
                return self.program.model()
        except ForecastError:
            self.notes.append("the constructor reads values, so the model was built for real, in host memory, first")
        with _disable_current_modes():
            model = self.program.model()
            for tensor in (*model.parameters(), *model.buffers()):
                if tensor.numel() > SMALL:
                    tensor.data = self.trace.memory.tensor(tensor.shape, None, tensor.dtype)
        return model

    def _truncated(self, draw: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """First weights that torch draws again until all are within bounds: of a phantom there is nothing to draw."""

        def call(tensor: Tensor, *args: Any, **kwargs: Any) -> Tensor:
            return tensor if self.trace.memory.holds(tensor) else draw(tensor, *args, **kwargs)

        return call

    def _adopt(self, model: Module, names: ModuleNames) -> None:
        """Parameters and buffers, in the order in which `Module.to` moves them to a device."""
        for module in _children_first(model):
            for kind, tensors in (("parameters", module._parameters), ("buffers", module._buffers)):
                for tensor in tensors.values():
                    if tensor is not None:
                        self.trace.module = names.owner.get(id(tensor), 0)
                        self._name(self.sharding.local(tensor.data), kind, adopt=True)
        self.trace.module = 0

    def _train(self, model: Module, names: ModuleNames) -> list[int]:
        if self.program.optimizer is None:
            raise ForecastError("there is no optimiser to train with; give one, or forecast inference")
        optimizer = self.sharding.optimizer(self.program.optimizer(model))
        if self.settings.device == "cuda":
            _choose_as_on_cuda(optimizer)
        timeline, starts = self.trace.timeline, []
        self.sharding.prepare(model)
        batches: list[Any] = []
        for step in range(STEPS):
            starts.append(len(timeline.events))
            if self._is_long(starts):
                # All that is there now is there in the step that is repeated.
                self.trace.stop()
                break
            batches = self._micro_batches()
            timeline.enter("between")
            optimizer.zero_grad(set_to_none=True)
            self._last_loss = None
            self._last_loss = self.sharding.work_on(batches, model, self._loss)
            self._name_gradients(model, names)
            timeline.enter("optimizer")
            optimizer.step()
            if step == 0:
                self._name_state(optimizer, names)
            timeline.enter("between")
        return starts

    def _is_long(self, starts: list[int]) -> bool:
        """Whether the second step is not to be taken but repeated."""
        return len(starts) > 1 and starts[1] - starts[0] > MANY_EVENTS

    def _infer(self, model: Module) -> list[int]:
        timeline = self.trace.timeline
        starts = [len(timeline.events)]
        with torch.no_grad():
            batches = self._micro_batches()
            timeline.enter("forward")
            self._loss(model, batches[0])
            timeline.enter("between")
        return starts

    def _micro_batches(self) -> list[Any]:
        self.trace.timeline.enter("input")
        batches = [self.program.batch() for _ in range(self.sharding.batches)]
        for tensor in _tensors_in(batches):
            self._name(tensor, "inputs")
        return batches

    def _loss(self, model: Module, batch: Any) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.settings.precision == "bf16"):
            loss = self.program.loss(model, batch)
        if self.settings.training and not (isinstance(loss, Tensor) and loss.requires_grad):
            raise ForecastError(
                f"the loss is {type(loss).__name__} without a gradient; it must be a scalar tensor with one"
            )
        return loss

    def _name_gradients(self, model: Module, names: ModuleNames) -> None:
        for parameter in model.parameters():
            if parameter.grad is not None:
                self._name(self.sharding.local(parameter.grad), "gradients", names.owner.get(id(parameter), 0))

    def _name_state(self, optimizer: Optimizer, names: ModuleNames) -> None:
        cuda = self.settings.device == "cuda"
        for parameter, state in optimizer.state.items():
            for value in state.values():
                if isinstance(value, Tensor):
                    local = self.sharding.local(value)
                    number = self._name(local, "optimizer_state", names.owner.get(id(parameter), 0))
                    if cuda and value.dim() == 0 and not _counts_on_device(optimizer) and number is not None:
                        # Step counters stay on the CPU (torch.optim, `capturable`).
                        self.on_host.add(number)

    def _name(self, tensor: Tensor, kind: str, module: int | None = None, *, adopt: bool = False) -> int | None:
        if adopt:
            self.trace.adopt(tensor)
        number = self.trace.number_of(tensor)
        if number is not None:
            timeline = self.trace.timeline
            timeline.kind[number] = KIND[kind]
            if module is not None:
                timeline.module[number] = module
        return number

    def _host_mask(self) -> np.ndarray:
        mask = np.zeros(len(self.trace.timeline.nbytes), dtype=bool)
        mask[list(self.on_host)] = True
        return mask


@contextmanager
def without_onednn() -> Iterator[None]:
    """oneDNN's recurrent layers hide what they keep; torch's own show it, and keep about what cuDNN's do.

    Set as `torch.backends.mkldnn.flags` does, which also warns of what it was not asked for.
    """
    before = bool(torch.backends.mkldnn.enabled)
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


@contextmanager
def _errors_named(trace: MemoryTrace) -> Iterator[None]:
    try:
        yield
    except CrowdrunError:
        raise
    except Exception as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ForecastError(
            f"{trace.where(error)} failed while it was traced: {type(error).__name__}: {first}"
        ) from error


def _refuse_compiled(model: Module) -> None:
    for name, module in model.named_modules():
        if type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
            raise ForecastError(
                f"the module {name or 'at the top'} is compiled (torch.compile): what its kernels keep is chosen on "
                "the device that compiles them; forecast the model without torch.compile, which needs no less"
            )


def _children_first(module: Module) -> Iterator[Module]:
    """As `Module._apply`, which `to` goes by."""
    for child in module.children():
        yield from _children_first(child)
    yield module


def _choose_as_on_cuda(optimizer: Optimizer) -> None:
    """On CUDA an optimiser works on all parameters at once where nobody chose otherwise (torch.optim, `foreach`)."""
    for group in optimizer.param_groups:
        if "foreach" in group and group["foreach"] is None and not group.get("fused"):
            group["foreach"] = True


def _counts_on_device(optimizer: Optimizer) -> bool:
    return any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)


def _tensors_in(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _tensors_in(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors_in(one)
