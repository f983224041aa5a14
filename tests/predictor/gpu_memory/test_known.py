"""The table of well-known networks says what a trace says."""

import json
from importlib.resources import files

import pytest

from crowdrun.api.forecasts.forecasting import ask_task
from crowdrun.data.forecast import ForecastSettings
from crowdrun.data.task import TrainingOptions
from crowdrun.predictor.gpu_memory.device import DeviceOverhead
from crowdrun.predictor.gpu_memory.known import known_names, network_forecast
from crowdrun.predictor.gpu_memory.learned.learning import learn
from crowdrun.training.models.table import BUILT_IN
from tests.predictor.gpu_memory.learned.steps import made_up


@pytest.mark.parametrize(
    ("ours", "name", "batch", "optimizer", "precision", "gpus"),
    [
        ("resnet-18", "resnet18", 48, "sgd", "fp32", 1),
        ("resnet-50", "resnet50", 64, "adamw", "bf16", 1),
        ("resnet-50", "resnet50", 200, "sgd", "fp32", 4),
        ("vgg-16", "vgg16", 40, "sgd", "fp32", 1),
    ],
)
def test_a_row_is_what_the_same_network_of_ours_holds_when_it_is_traced(
    ours: str, name: str, batch: int, optimizer: str, precision: str, gpus: int
) -> None:
    task = BUILT_IN[ours]
    options = TrainingOptions(optimizer=optimizer, precision=precision, extra=task.options)
    how = ForecastSettings(precision=precision, strategy="ddp" if gpus > 1 else "single", world_size=gpus)
    traced = ask_task(task.module, options)(batch, how)
    told = network_forecast(name, micro_batch=batch, precision=precision, optimizer=optimizer, gpus=gpus)
    assert told is not None
    assert told.allocated_mb == pytest.approx(traced.allocated_mb, rel=0.01)
    # What the allocator keeps goes in steps, and depends on the order in which a network's code asks for it.
    assert told.reserved_mb == pytest.approx(traced.reserved_mb, rel=0.2)


def test_a_row_is_what_the_library_s_own_code_holds_when_it_is_traced() -> None:
    pytest.importorskip("torchvision", reason="torchvision is not installed", exc_type=ImportError)
    from crowdrun.predictor.gpu_memory import tabulate

    network = next(one for one in tabulate._of_torchvision() if one.name == "resnet18")
    made = tabulate.row(network, "bf16", "sgd")
    table = json.loads(files("crowdrun.predictor.gpu_memory").joinpath("architectures.json").read_text())
    assert table["networks"]["resnet18:images"]["rows"]["bf16:sgd"] == pytest.approx(made, rel=0.02)


def test_every_row_was_checked_at_another_batch_and_another_size() -> None:
    table = json.loads(files("crowdrun.predictor.gpu_memory").joinpath("architectures.json").read_text())
    rows = [row for entry in table["networks"].values() for row in entry["rows"].values()]
    assert len(rows) > 100
    assert sum(row["off"] < 0.05 for row in rows) / len(rows) > 0.8
    assert max(max(row["off"], row["off_at_other_size"]) for row in rows) < 0.15


@pytest.mark.parametrize(
    ("name", "same"),
    [
        ("ResNet-50", "resnet50"), ("microsoft/resnet-50", "resnet50"), ("bert-base-cased", "bert-base-uncased"),
        ("google-bert/bert-base-uncased", "bert-base-uncased"), ("openai-community/gpt2-medium", "gpt2-medium"),
        ("resnet50.a1_in1k", "resnet50"), ("roberta_base", "roberta-base"),
        ("vit_base_patch16_224.augreg_in21k", "vit_base_patch16_224"),
    ],
)  # fmt: skip
def test_a_name_is_known_however_it_is_written(name: str, same: str) -> None:
    told = network_forecast(name, micro_batch=16)
    assert told is not None
    assert told.network == same
    assert told.network in known_names()


def test_size_task_precision_and_optimiser_count() -> None:
    def mb(name: str, **how: object) -> float:
        told = network_forecast(name, micro_batch=64, **how)  # type: ignore[arg-type]
        assert told is not None
        return told.allocated_mb

    assert mb("resnet50", size=448) == pytest.approx(4 * mb("resnet50"), rel=0.15)
    assert mb("resnet50", precision="fp16") == mb("resnet50", precision="bf16") < mb("resnet50")
    assert mb("resnet50", optimizer="adam") > mb("resnet50", optimizer="momentum")
    assert mb("bert-base-uncased", task="language") > 3 * mb("bert-base-uncased", task="classification")
    assert mb("resnet50", gpus=8) == pytest.approx(mb("resnet50") + 25.56e6 * 4 / 2**20, rel=0.001)


def test_what_the_card_adds_is_that_of_the_overhead() -> None:
    told = network_forecast(
        "resnet50", micro_batch=64, overhead=DeviceOverhead(slope=2.0, offset_mb=1.0, basis="a card")
    )
    assert told is not None
    assert (told.device_mb, told.device_basis) == (2 * told.reserved_mb + 1, "a card")


def test_what_was_learned_of_a_card_says_the_whole_card_by_what_is_reserved() -> None:
    learned = learn(made_up(), "a made-up card")
    told = network_forecast("resnet50", micro_batch=64, overhead=learned)
    assert told is not None
    assert told.device_basis == learned.basis
    # 1,700 MB and 2% on top of what is reserved, and up to a tenth thrice in every other family.
    assert 1600 + told.reserved_mb < told.device_mb < 2000 + 1.2 * told.reserved_mb
