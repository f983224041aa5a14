"""Generated convolutional networks, each with its layers and what its training took of a card of 40 GB.

The table (`gpumemnet-cnn.csv.xz`) is from itu-rad/GPUMemNet, CC-BY-4.0. A layer is (kind, places, parameters), with the
places of one channel of its output. The channels follow from the parameters, and from them what each layer keeps for
the backward pass, by the rules of torch's autograd (tools/autograd/derivatives.yaml); the networks are not built.
"""

import ast
import lzma
import re
from collections.abc import Iterator, Mapping, Sequence
from csv import DictReader
from dataclasses import dataclass
from pathlib import Path

from crowdrun.data.errors import LogError

Layers = Sequence[tuple[str, int, int]]
_MB = 1 << 20
#: Activations whose backward pass needs their output; that of all others needs their input.
_SAVE_OUTPUT = {"ReLU", "Tanh", "Sigmoid"}
_OTHERS = {"conv2d", "batch_norm2d", "dropout", "adaptive_avg_pool2d", "linear", "Softmax"}
#: Channels that each layer of a dense network adds.
GROWTH = 32
#: Layers that make nothing new.
_NOTHING = {"Identity", "d"}
_MEASURED = "Max GPU Memory (MiB)"
_NAME = re.compile(r"input_channels:(\d+)_.*arch:(\w+?)_base_filters")


@dataclass(frozen=True, kw_only=True)
class GeneratedRow:
    """One run."""

    #: One of seven ways to make a network: uniform, pyramid, residual, dense and so on.
    architecture: str
    #: As of a traced step (`learned/features.py`), as far as the layers tell.
    features: Mapping[str, float]
    measured_mb: float
    out_of_memory: bool


def read_generated(file: Path) -> tuple[list[GeneratedRow], int]:
    """The rows that say what their layers are, and how many do not.

    Raises:
        LogError: the file is missing or not such a table.
    """
    try:
        with lzma.open(file, "rt", encoding="utf-8", newline="") as lines:
            listed = list(DictReader(lines))
            whole = [row for row in listed if float(row[_MEASURED]) > 0 and int(row["Total Parameters"]) > 0]
            return [_row(row) for row in whole], len(listed) - len(whole)
    except (OSError, EOFError, lzma.LZMAError, KeyError, TypeError, ValueError, SyntaxError) as error:
        raise LogError(
            f"cannot read {file} as measurements of generated networks: {error!r}; it must be an xz file "
            "of GPUMemNet's columns"
        ) from error


def _row(row: Mapping[str, str]) -> GeneratedRow:
    found = _NAME.match(row["Filename"])
    if found is None:
        raise ValueError(f"no architecture in {row['Filename']!r}")
    layers: Layers = ast.literal_eval(row["Activations-Params"])
    return GeneratedRow(
        architecture=found[2], features=features_of_layers(layers, int(found[1]), int(row["Batch Size"])),
        measured_mb=float(row[_MEASURED]), out_of_memory=row["Status"] == "OOM_CRASH",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class _Layer:
    kind: str
    #: MB of its output for the batch, and of its parameters.
    made_mb: float
    weight_mb: float
    given_mb: float = 0.0
    taps: int = 0
    #: Its input is a copy of several outputs together (torch.cat), which is kept for it.
    joins: bool = False

    @property
    def is_activation(self) -> bool:
        return self.kind not in _OTHERS


def features_of_layers(layers: Layers, input_channels: int, batch: int) -> dict[str, float]:
    """What a step with Adam keeps, MB: weights, gradients, two moments, and the outputs that the backward pass needs.

    >>> layers = [("conv2d", 784, 550), ("ReLU", 784, 0), ("adaptive_avg_pool2d", 1, 0), ("linear", 10, 560)]
    >>> found = features_of_layers(layers, 1, 60)
    >>> round(found["activations"], 2), round(found["window_io"], 2)
    (9.88, 10.05)
    """
    known = list(_with_channels(layers, input_channels, batch))
    parameters = sum(layer.weight_mb for layer in known)
    kept = sum(_kept_mb(known, place) for place in range(len(known)))
    kept += sum(layer.given_mb for layer in known if layer.joins)
    windows = [layer for layer in known if layer.taps > 1]
    points = [layer for layer in known if layer.taps == 1]
    return {
        "reserved": 4 * parameters + kept, "allocated": 4 * parameters + kept, "parameters": parameters,
        "gradients": parameters, "optimizer_state": 2 * parameters, "activations": kept,
        "largest": max((layer.made_mb for layer in known), default=0.0), "forward": sum(one.made_mb for one in known),
        "window_io": _largest_io(windows), "pointwise_io": _largest_io(points),
        "window_weight": max((layer.weight_mb for layer in windows), default=0.0),
        "pointwise_weight": max((layer.weight_mb for layer in points), default=0.0),
        "storages": 4.0 * len(known), "convolutions": float(len(windows) + len(points)),
        "distinct_convolutions": float(len({(one.given_mb, one.made_mb) for one in (*windows, *points)})),
    }  # fmt: skip


def _largest_io(layers: Sequence[_Layer]) -> float:
    return max((layer.given_mb + layer.made_mb for layer in layers), default=0.0)


def _kept_mb(layers: Sequence[_Layer], place: int) -> float:
    """Of the output of one layer, what the backward pass of it or of the next one needs."""
    layer = layers[place]
    following = layers[place + 1] if place + 1 < len(layers) else None
    if layer.kind == "dropout":
        # Its output is the next layer's input; its mask has a byte an element.
        return layer.made_mb * 1.25
    if following is None or following.kind in {"conv2d", "batch_norm2d", "linear"}:
        return layer.made_mb
    if layer.kind in _SAVE_OUTPUT:
        return layer.made_mb
    needed = following.is_activation and following.kind not in _SAVE_OUTPUT
    return layer.made_mb if needed else 0.0


def _with_channels(layers: Layers, input_channels: int, batch: int) -> Iterator[_Layer]:
    """Each layer with the size of its output; a convolution's channels are those that its parameters allow."""
    image_mb = 4 * batch / _MB
    counts = [parameters for kind, _, parameters in layers if kind == "conv2d"]
    dense = _dense(counts, input_channels)
    shapes = iter(dense or _chain(counts, input_channels))
    here, places = input_channels, layers[0][1] if layers else 0
    for kind, positions, parameters in layers:
        if kind in _NOTHING:
            continue
        given_mb, taps = 0.0, 0
        if kind == "conv2d":
            taken, here, taps = next(shapes)
            given_mb = image_mb * taken * places
        made_mb = image_mb * positions * (1 if kind in {"linear", "Softmax"} else here)
        places = positions
        yield _Layer(
            kind=kind, made_mb=made_mb, weight_mb=4 * parameters / _MB, given_mb=given_mb, taps=taps,
            joins=bool(dense) and taps > 1,
        )  # fmt: skip


def _chain(parameters: Sequence[int], input_channels: int) -> list[tuple[int, int, int]]:
    """Channels in and out, and elements of the window, of each convolution; all have a bias.

    They follow one another; those of a residual block come after a shortcut of 1 x 1 with the same channels.

    >>> _chain([740, 49358], 1), _chain([148, 740, 49358], 1)
    ([(1, 74, 9), (74, 74, 9)], [(1, 74, 1), (1, 74, 9), (74, 74, 9)])
    """
    found: list[tuple[int, int, int]] = []
    here = input_channels
    for place, count in enumerate(parameters):
        following = parameters[place + 1] if place + 1 < len(parameters) else 0
        shortcut = count // (here + 1)
        if shortcut * (here + 1) == count and following == shortcut * (9 * here + 1):
            found.append((here, shortcut, 1))
            continue
        made = max(1, round(count / (9 * here + 1)))
        found.append((here, made, 9))
        here = made
    return found


def _dense(parameters: Sequence[int], input_channels: int) -> list[tuple[int, int, int]]:
    """The same of a dense network: each takes all that was made before it, until one of 1 x 1 halves it. Empty where it
    is none.

    >>> _dense([896, 10112, 19328], 3), _dense([740, 49358], 1)
    ([(3, 32, 9), (35, 32, 9), (67, 32, 9)], [])
    """
    found: list[tuple[int, int, int]] = []
    total = input_channels
    for count in parameters:
        if count == GROWTH * (9 * total + 1):
            found.append((total, GROWTH, 9))
            total += GROWTH
        elif count == total // 2 * (total + 1):
            found.append((total, total // 2, 1))
            total //= 2
        else:
            return []
    return found
