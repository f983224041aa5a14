"""A description, built: the shapes and counts that were told without torch are torch's own."""

from typing import Any, get_args

import pytest
import torch
from torch import nn
from torch.nn import functional

from crowdrun.data.description.blocks import AnyLayer
from crowdrun.data.description.model import ModelDescription, described
from crowdrun.data.errors import ConfigError
from crowdrun.data.forecast import ForecastSettings
from crowdrun.predictor.gpu_memory.described import described_program
from crowdrun.predictor.gpu_memory.forecast import forecast, forecast_program

CONVOLUTION = {"kind": "conv2d", "channels": 8, "kernel_size": [3, 1], "stride": 2, "padding": [1, 0], "groups": 2}
SEQUENCE = ([10, 8], "float32")
IMAGE = ([4, 9, 8], "float32")
#: (shape, dtype), layers. Each of them is run for real.
CASES: list[tuple[tuple[list[int], str], list[dict[str, Any]]]] = [
    (([4, 20], "float32"), [{"kind": "conv1d", "channels": 6, "kernel_size": 3, "dilation": 2, "bias": False}]),
    (IMAGE, [CONVOLUTION]),
    (([2, 6, 6, 6], "float32"), [{"kind": "conv3d", "channels": 3, "kernel_size": 3}]),
    (IMAGE, [CONVOLUTION, {"kind": "max_pool", "kernel_size": 3, "stride": 2, "padding": 1}]),
    (IMAGE, [CONVOLUTION, {"kind": "avg_pool", "kernel_size": [2, 1]}]),
    (IMAGE, [CONVOLUTION, {"kind": "adaptive_avg_pool", "output_size": [3, 2]}, {"kind": "flatten"}]),
    (IMAGE, [{"kind": "batch_norm"}, {"kind": "instance_norm"}, {"kind": "group_norm", "groups": 2}]),
    (([8], "float32"), [{"kind": "batch_norm"}, {"kind": "linear", "features": 5, "bias": False}]),
    (SEQUENCE, [{"kind": "layer_norm"}, {"kind": "rms_norm"}, {"kind": "linear", "features": 3}]),
    (([8], "float32"), [{"kind": "linear", "features": 6}, {"kind": "reshape", "shape": [2, 3]}]),
    (IMAGE, [CONVOLUTION, {"kind": "reshape", "shape": [20, 8]}, {"kind": "flatten", "start": 1}]),
    (IMAGE, [CONVOLUTION, {"kind": "transpose", "first": 0, "second": 2}]),
    *((SEQUENCE, [{"kind": "linear", "features": 8}, {"kind": "take", "place": place}])
      for place in ("first", "last", "mean")),
    (SEQUENCE, [{"kind": "lstm", "units": 5, "layers": 2, "bidirectional": True, "dropout": 0.1}]),
    (SEQUENCE, [{"kind": "gru", "units": 5, "dropout": 0.1}]),
    (SEQUENCE, [{"kind": "multi_head_attention", "heads": 2, "dropout": 0.1, "bias": False}, {"kind": "positions"}]),
    (([10], "int64"), [{"kind": "embedding", "count": 50, "features": 8}, {"kind": "dropout", "p": 0.1}]),
    (SEQUENCE, [{"kind": "transformer_block", "heads": 2, "dropout": 0.1, "causal": True}]),
    (SEQUENCE, [{"kind": "transformer_block", "heads": 4, "norm": "after", "feedforward": 12, "activation": "relu"}]),
    (IMAGE, [{"kind": "residual", "layers": [CONVOLUTION], "beside": [CONVOLUTION, {"kind": "batch_norm"}]}]),
    (IMAGE, [{"kind": "repeat", "times": 3, "layers": [CONVOLUTION, {"kind": "batch_norm"}]}]),
    *((SEQUENCE, [{"kind": "linear", "features": 8}, {"kind": "activation", "function": name, "inplace": inplace}])
      for name, inplace in (
          ("relu", True), ("leaky_relu", True), ("elu", False), ("gelu", False), ("gelu_tanh", False),
          ("silu", True), ("mish", True), ("tanh", False), ("sigmoid", False), ("softmax", False))),
]  # fmt: skip


def described_as(case: tuple[tuple[list[int], str], list[dict[str, Any]]], **fields: Any) -> ModelDescription:
    (shape, dtype), layers = case
    found = described({"input": {"shape": shape, "dtype": dtype}, "layers": layers} | fields)
    assert isinstance(found, ModelDescription)
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(layer["kind"] for layer in case[1]))
def test_shape_and_parameters_are_those_of_the_network_that_is_built(case: Any) -> None:
    model = described_as(case, loss="mse")
    program = described_program(model, micro_batch=2)
    network = program.model()
    given = torch.zeros_like(program.batch()[0])
    told = model.follow()
    assert network(given).shape == (2, *told.signal.shape)
    assert sum(one.numel() for one in network.parameters()) == told.parameters


def test_every_kind_of_layer_is_built_in_some_case() -> None:
    union = get_args(get_args(AnyLayer)[0])
    known = {kind for layer in union for kind in get_args(layer.model_fields["kind"].annotation)}
    nested = [layer for case in CASES for layer in case[1]]
    assert {layer["kind"] for layer in nested} == known


def test_a_description_needs_what_the_same_network_in_torch_needs() -> None:
    block = [
        {"kind": "conv2d", "channels": 16, "kernel_size": 3, "padding": 1}, {"kind": "batch_norm"},
        {"kind": "activation", "function": "relu"},
    ]  # fmt: skip
    layers = [{"kind": "repeat", "times": 3, "layers": block}, {"kind": "flatten"}, {"kind": "linear", "features": 10}]
    said = forecast_program(
        described_program(described_as((([16, 24, 24], "float32"), layers)), micro_batch=8), ForecastSettings()
    )

    def network() -> nn.Module:
        convolutions = [nn.Conv2d(16, 16, 3, padding=1) for _ in range(3)]
        body = [one for made in convolutions for one in (made, nn.BatchNorm2d(16), nn.ReLU())]
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(16 * 24 * 24, 10))

    by_hand = forecast(
        network,
        lambda: [torch.zeros(8, 16, 24, 24), torch.zeros(8, dtype=torch.int64)],
        loss_fn=lambda model, batch: functional.cross_entropy(model(batch[0]), batch[1]),
        optimizer_fn=lambda model: torch.optim.AdamW(model.parameters()),
    )
    assert said.split == by_hand.split
    assert said.reserved_mb == by_hand.reserved_mb


@pytest.mark.parametrize("loss", ["cross_entropy", "cross_entropy_channels", "mse"])
@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp64"])
def test_each_loss_is_traced_in_each_precision(loss: str, precision: str) -> None:
    model = described_as((IMAGE, [CONVOLUTION]), loss=loss)
    said = forecast_program(
        described_program(model, micro_batch=4, optimizer="sgd", precision=precision),
        ForecastSettings(precision=precision),
    )
    assert said.parameters == model.follow().parameters


def test_repeated_blocks_are_found_by_checkpointing() -> None:
    layers = [{"kind": "repeat", "times": 4, "layers": [{"kind": "transformer_block", "heads": 2}]}]
    program = described_program(described_as((SEQUENCE, layers)), micro_batch=2)
    assert "4 x Block recomputed" in str(forecast_program(program, ForecastSettings(checkpointing=True)).notes)


def test_an_optimiser_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match="it must be one of adam, adamw"):
        described_program(described_as((IMAGE, [CONVOLUTION])), micro_batch=1, optimizer="lion")
