"""The runs that were measured, as programs that can be traced: timm's models as timm's training script trains them.

fp32, SGD with momentum (the script's defaults), the image size of the model's own configuration, and the cross-entropy
of a thousand classes. timm is an extra of this package (`pip install crowdrun[timm]`), for this bench alone.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from torch import nn, optim
from torch.nn import functional

from crowdrun.data.errors import ConfigError
from crowdrun.predictor.gpu_memory.program import Program

#: torchvision's operations that it gives a shape rule as it is imported; its library for CUDA, which brings them, does
#: not load beside torch for the CPU.
_MISSING = ("nms", "qnms")
_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
#: A library's operations go when it goes.
_LIBRARIES: list[Any] = []


@cache
def timm() -> Any:
    """The library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        _name_what_torchvision_lacks()
        import timm
    except ImportError as error:
        raise ConfigError(f"timm's models are not at hand ({error}); install crowdrun with the extra timm") from error
    return timm


def _name_what_torchvision_lacks() -> None:
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for name in _MISSING:
            library.define(name + _SCHEMA)  # type: ignore[no-untyped-call]
        _LIBRARIES.append(library)


def family(model: str) -> str:
    """The file of timm that makes the model: 107 of those measured are `vision_transformer`."""
    name: str = timm().model_entrypoint(model).__module__
    return name.rpartition(".")[2]


def program(model: str, batch: int) -> Program:
    """One training step of the model."""
    size = timm().get_pretrained_cfg(model).input_size
    return Program(
        model=lambda: _made(model),
        batch=lambda: [torch.empty(batch, *size), torch.zeros(batch, dtype=torch.long)],
        loss=_loss,
        optimizer=lambda made: optim.SGD(made.parameters(), lr=0.1, momentum=0.9),
    )


def _made(model: str) -> nn.Module:
    made: nn.Module = timm().create_model(model)
    return made


_LOSS: Callable[..., torch.Tensor] = functional.cross_entropy


def _loss(model: nn.Module, batch: Any) -> torch.Tensor:
    return _LOSS(model(batch[0]), batch[1])
