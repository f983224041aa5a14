"""What a forecast says, and what it refuses to say."""

import json
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from crowdrun.data.errors import ForecastError
from crowdrun.data.forecast import Forecast, ForecastSettings
from crowdrun.predictor.gpu_memory import step
from crowdrun.predictor.gpu_memory.forecast import forecast
from tests.predictor.gpu_memory.zoo import Language, Residual, adamw, classify, images, mlp, predict, resnet, tokens


def said_of(model: Any, batch: Any = images, loss: Any = classify, optimizer: Any = adamw, **settings: Any) -> Forecast:
    return forecast(
        model, batch, loss_fn=loss, optimizer_fn=optimizer, settings=ForecastSettings(**settings)
    )  # fmt: skip


def test_the_parts_sum_up_to_the_peak_and_the_tree_holds_them_all_but_the_workspaces() -> None:
    said = said_of(resnet)
    assert sum(said.split.values()) == pytest.approx(said.allocated_mb)
    assert said.tree.nbytes / 2**20 == pytest.approx(said.allocated_mb - said.split["workspaces"])
    assert said.reserved_mb >= said.allocated_mb
    assert said.device_mb > said.reserved_mb
    assert "not measured" in said.device_basis


def test_a_forecast_is_json() -> None:
    assert json.loads(json.dumps(said_of(mlp).to_json()))["split"].keys() == said_of(mlp).split.keys()


def test_activations_hang_on_the_module_that_made_them() -> None:
    said = said_of(resnet, device="cpu")
    convolution = next(node for _, node in said.tree.walk() if node.name == "0" and node.kind == "Conv2d")
    # 16 images of 32 channels of 32 x 32.
    assert convolution.own["activations"] == 16 * 32 * 32 * 32 * 4


def test_the_steady_state_counts_the_optimisers_state_under_the_backward_pass() -> None:
    said = said_of(partial(Language, layers=2), tokens, predict)
    assert (said.peak_step, said.peak_phase) == (2, "backward")
    assert said.split["optimizer_state"] > 0


def test_inference_keeps_no_activations_gradients_or_state() -> None:
    said = said_of(resnet, training=False, optimizer=None)
    assert not {"gradients", "optimizer_state", "activations"} & said.split.keys()


def test_a_step_of_very_many_operations_repeated_says_what_one_taken_twice_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = [said_of(resnet), said_of(Language, tokens, predict, accumulation=2)]
    monkeypatch.setattr(step, "MANY_EVENTS", 0)
    repeated = [said_of(resnet), said_of(Language, tokens, predict, accumulation=2)]
    for one, other in zip(taken, repeated, strict=True):
        assert other.allocated_mb == pytest.approx(one.allocated_mb, rel=1e-9)
        assert other.reserved_mb == one.reserved_mb
        assert other.split == pytest.approx(one.split)


def test_no_memory_is_taken_for_what_is_forecast() -> None:
    """1 TiB of parameters."""
    said = said_of(lambda: nn.Linear(1 << 19, 1 << 19), lambda: torch.randn(4, 1 << 19), lambda m, b: m(b).sum())
    assert said.split["parameters"] == pytest.approx(1 << 20, rel=0.01)


def test_dropout_keeps_a_byte_an_element_on_cuda() -> None:
    def kept(device: str) -> float:
        model = partial(nn.Sequential, nn.Linear(64, 1024), nn.Dropout(0.5), nn.Linear(1024, 1))
        said = said_of(model, lambda: torch.randn(1024, 64), lambda m, b: m(b).sum(), device=device)
        dropout = next(node for _, node in said.tree.walk() if node.kind == "Dropout")
        return dropout.own["activations"] / 2**20

    assert (kept("cuda"), kept("cpu")) == (4 + 1, 4 + 4)


def test_attention_with_dropout_keeps_no_matrix_of_weights_on_cuda() -> None:
    model = partial(Language, dropout=0.1)
    long = partial(tokens, length=64)
    matrix_mb = 3 * 8 * 4 * 64 * 64 * 4 / 2**20
    cuda, cpu = (said_of(model, long, predict, device=device) for device in ("cuda", "cpu"))
    assert cpu.split["activations"] - cuda.split["activations"] > matrix_mb


def test_autocast_keeps_the_softmax_in_fp32_on_cuda() -> None:
    seen: list[torch.dtype] = []

    class Softmax(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inward = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            out = functional.softmax(self.inward(x), 1)
            seen.append(out.dtype)
            return out.sum()

    for device in ("cuda", "cpu"):
        said_of(Softmax, lambda: torch.randn(4, 8), lambda m, b: m(b), precision="bf16", device=device)
    assert set(seen[: len(seen) // 2]) == {torch.float32}
    assert set(seen[len(seen) // 2 :]) == {torch.bfloat16}


def test_what_was_changed_in_torch_for_a_forecast_is_undone() -> None:
    said_of(mlp, precision="bf16")
    dropped = functional.dropout(torch.ones(1000), 0.5)
    assert set(dropped.tolist()) == {0.0, 2.0}
    assert torch.backends.mkldnn.enabled


def test_a_step_that_reads_a_value_is_refused_by_the_name_of_its_module() -> None:
    class Peeking(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(3072, 10)

        def forward(self, x: Tensor) -> Tensor:
            out = self.inner(x.flatten(1))
            return out if out.sum().item() > 0 else -out

    with pytest.raises(ForecastError, match=r"the module 0 \(Peeking\) reads a value that only a real run has"):
        said_of(lambda: nn.Sequential(Peeking()))


def test_a_size_that_depends_on_the_data_is_refused() -> None:
    with pytest.raises(ForecastError, match="size depends on the data"):
        said_of(mlp, loss=lambda model, batch: model(batch[0])[batch[1] > 3].sum())


def test_a_value_that_was_added_up_from_what_is_unknown_is_unknown() -> None:
    class Counting(nn.Linear):
        def __init__(self) -> None:
            super().__init__(8, 1)
            self.total = torch.zeros(1)

        def forward(self, x: Tensor) -> Tensor:
            out = super().forward(x)
            self.total += out.detach().sum()
            return out.sum() * self.total.item()

    with pytest.raises(ForecastError, match="reads a value"):
        said_of(Counting, lambda: torch.randn(4, 8), lambda m, b: m(b))


def test_a_compiled_model_is_refused_with_a_reason() -> None:
    with pytest.raises(ForecastError, match=r"is compiled \(torch.compile\)"):
        said_of(lambda: torch.compile(nn.Linear(2, 2), backend="eager"))


def test_an_error_of_the_model_is_told_with_its_module() -> None:
    with pytest.raises(ForecastError, match=r"the module 1 \(Linear\) failed while it was traced: RuntimeError"):
        said_of(lambda: nn.Sequential(nn.Linear(3072, 7), nn.Linear(8, 8)), loss=lambda m, b: m(b[0].flatten(1)).sum())


def test_checkpointing_recomputes_the_repeated_blocks() -> None:
    plain, recomputed = said_of(resnet), said_of(resnet, checkpointing=True)
    assert recomputed.allocated_mb < 0.7 * plain.allocated_mb
    assert recomputed.notes == ("checkpointing: 4 x Residual recomputed",)
    assert said_of(mlp, checkpointing=True).notes == (
        "checkpointing: the model has no repeated blocks, so nothing is recomputed",
    )


def test_a_block_keeps_its_class() -> None:
    assert isinstance(resnet()[1], Residual)


def test_a_constructor_that_draws_truncated_weights_is_built_without_memory() -> None:
    class Truncated(nn.Linear):
        def reset_parameters(self) -> None:
            nn.init.trunc_normal_(self.weight, std=0.02)

    # 4 TiB.
    said = said_of(lambda: Truncated(1 << 20, 1 << 20), lambda: torch.randn(4, 1 << 20), lambda m, b: m(b).sum())
    assert said.parameters > 1 << 40
    assert not said.notes


def test_a_constructor_that_reads_values_is_built_for_real_first() -> None:
    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(512, 512)
            self.scale = self.weight.norm().item()

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x).sum() * self.scale

    said = said_of(Scaled, lambda: torch.randn(64, 512), lambda m, b: m(b))
    plain = said_of(lambda: nn.Linear(512, 512), lambda: torch.randn(64, 512), lambda m, b: m(b).sum() * 2.0)
    assert said.allocated_mb == plain.allocated_mb
    assert "built for real" in said.notes[0]
