"""The built-in networks as others may ask for them: by name, with options that are sizes alone.

A task also takes options that name files and devices (`data`, `devices`); over REST nobody is to open files here.

>>> known_network(KnownModel(architecture="ResNet50", options={"side": 128}))
('resnet-50', {'side': 128})
>>> known_network(KnownModel(architecture="resnet-50", options={"data": 1}))
Traceback (most recent call last):
...
crowdrun.data.errors.DescriptionError: options.data is no option of resnet-50; they are side, classes
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from crowdrun.data.description.model import KnownModel
from crowdrun.data.errors import DescriptionError
from crowdrun.training.models.table import BUILT_IN

#: Least and most of an option; None where it is true or false. Three samples are made for real, so sizes are bounded.
Bounds = tuple[int, int] | None
_IMAGES: Mapping[str, Bounds] = {"side": (32, 2048), "classes": (2, 1 << 20)}

OPTIONS: Mapping[str, Mapping[str, Bounds]] = {
    "alexnet": _IMAGES,
    "bilstm": {"vocabulary": (1000, 1 << 22), "length": (8, 1 << 16)},
    "char-lstm": {"units": (1, 1 << 16), "length": (1, 1 << 14)},
    "cifar-net": {},
    "digits": {"channels": (4, 1 << 14), "blocks": (1, 1000)},
    "gpt2": {"layers": (1, 1000), "width": (1, 1 << 16), "heads": (1, 1024), "length": (1, 1024)},
    "inception-v3": {**_IMAGES, "side": (107, 2048)},
    "lenet": {},
    "matrix-power": {"size": (1, 1024), "power": (1, 100)},
    "resnet-18": _IMAGES,
    "resnet-50": _IMAGES,
    "resnet-152": _IMAGES,
    "thin-resnet": {"layers": (2, 20_000), "width": (1, 4096), "side": (4, 2048), "checkpoint": None},
    "unet": {"width": (1, 4096), "side": (16, 2048)},
    "vgg-16": _IMAGES,
}


def known_network(model: KnownModel) -> tuple[str, dict[str, Any]]:
    """Its name among the built-in ones, and its options, checked.

    Raises:
        DescriptionError: there is no such network, or it has no such option.
    """
    names = {_plain(name): name for name in BUILT_IN}
    name = names.get(_plain(model.architecture))
    if name is None:
        near = get_close_matches(_plain(model.architecture), names, n=1)
        meant = f"did you mean {names[near[0]]}? " if near else ""
        raise DescriptionError(f"architecture is {model.architecture!r}; {meant}known are {', '.join(BUILT_IN)}")
    for option, value in model.options.items():
        _check(name, option, value)
    return name, dict(model.options)


def _check(name: str, option: str, value: Any) -> None:
    allowed = OPTIONS[name]
    if option not in allowed:
        they = f"they are {', '.join(allowed)}" if allowed else "it has none"
        raise DescriptionError(f"options.{option} is no option of {name}; {they}")
    bounds = allowed[option]
    if bounds is None:
        if not isinstance(value, bool):
            raise DescriptionError(f"options.{option} is {value!r}; it must be true or false")
    elif isinstance(value, bool) or not bounds[0] <= value <= bounds[1]:
        raise DescriptionError(
            f"options.{option} is {value!r}; it must be a whole number from {bounds[0]} to {bounds[1]}"
        )


def _plain(name: str) -> str:
    """ResNet50, resnet_50 and resnet-50 are one."""
    return "".join(letter for letter in name.lower() if letter.isalnum())
