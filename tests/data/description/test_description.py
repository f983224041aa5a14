"""What a description may hold, and what is said of one that cannot be built."""

from typing import Any

import pytest

from crowdrun.data.description.model import KnownModel, ModelDescription, described
from crowdrun.data.errors import DescriptionError

IMAGE = {"shape": [3, 32, 32]}
CONVOLUTION = {"kind": "conv2d", "channels": 8, "kernel_size": 3}
DENSE = {"kind": "linear", "features": 8}


def model(*layers: Any, **fields: Any) -> dict[str, Any]:
    return {"input": IMAGE, "layers": list(layers)} | fields


def repeated(times: int, *layers: Any) -> dict[str, Any]:
    return {"kind": "repeat", "times": times, "layers": list(layers)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (model(CONVOLUTION | {"kernel_size": 0}), "layers[0].kernel_size is 0; it must be a whole number from 1"),
        (model(CONVOLUTION | {"kernel_size": [3, "3"]}), "layers[0].kernel_size is [3, '3']; it must be"),
        (model(CONVOLUTION | {"kernel_size": [3, 3, 3]}), "layers[0], conv2d: kernel_size has 3 numbers; the image"),
        (model(CONVOLUTION | {"channels": "8"}), "layers[0].channels is '8'; it must be a whole number"),
        (model(CONVOLUTION | {"chanels": 8}), "layers[0].chanels is no field that is known there"),
        (model(CONVOLUTION | {"groups": 2}), "layers[0], conv2d: groups is 2; it must divide the 3 channels"),
        (model(CONVOLUTION | {"kernel_size": 64}), "its kernel is larger than the image, 32 x 32"),
        (model({"channels": 3}), 'layers[0] is {\'channels\': 3}; it must have a "kind"'),
        (model({"kind": "conv9"}), "its kind must be one of 'conv1d', 'conv2d'"),
        (model({"kind": "linear"}), "layers[0].features is missing"),
        (model(DENSE, {"kind": "dropout", "p": 1}), "layers[1].p is 1; it must be below 1"),
        (model(repeated(3, DENSE, {"kind": "lstm", "units": 8})), "layers[0].layers[1], lstm: it takes 2 dimensions"),
        (model({"kind": "residual", "layers": [DENSE]}), "its layers give 3 x 32 x 8 and what is beside them"),
        (model({"kind": "embedding", "count": 9, "features": 8}), 'give the input the dtype "int64"'),
        (model(DENSE, input={"shape": [16], "dtype": "int64"}), "which only an embedding takes"),
        (model({"kind": "activation", "function": "relu"}), "none has parameters"),
        (model(), "layers is []; it must have 1 or more"),
        ({"layers": [DENSE]}, "input is missing"),
        ([DENSE], "a description is a JSON object"),
        ({"architecture": "resnet-50", "options": {"data": "/etc/passwd"}}, "options.data is '/etc/passwd'; it"),
        ({"architecture": "../x y"}, "architecture is '../x y'; it must be letters"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_named_by_its_place(content: Any, message: str) -> None:
    with pytest.raises(DescriptionError) as raised:
        described(content)
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (model(repeated(20_000, repeated(20_000, CONVOLUTION | {"channels": 3, "padding": 1}))), "400,000,000 layers"),
        (model(repeated(2, {"kind": "linear", "features": 1 << 22})), "parameters"),
        (model(DENSE | {"features": 1 << 22}, input={"shape": [1 << 20, 4]}), "numbers a sample"),
        (model(repeated(1 << 20, DENSE)), "it must be 20,000 or less"),
    ],
)  # fmt: skip
def test_what_would_be_too_much_is_refused_before_it_is_built(content: Any, message: str) -> None:
    with pytest.raises(DescriptionError, match=message):
        described(content)


def test_layers_lie_in_layers_only_so_deep() -> None:
    layer: dict[str, Any] = DENSE
    for _ in range(30):
        layer = repeated(1, layer)
    with pytest.raises(DescriptionError, match="8 deep at most"):
        described(model(layer))


def test_a_repeat_that_changes_the_shape_is_followed_each_time() -> None:
    halving = CONVOLUTION | {"channels": 3, "kernel_size": 2, "stride": 2}
    found = described(model(repeated(5, halving)))
    assert isinstance(found, ModelDescription)
    assert found.follow().signal.shape == (3, 1, 1)
    with pytest.raises(DescriptionError, match="larger than the image"):
        described(model(repeated(6, halving)))


def test_a_known_network_goes_by_its_name() -> None:
    found = described({"architecture": "resnet-50", "options": {"side": 64}})
    assert found == KnownModel(architecture="resnet-50", options={"side": 64})
