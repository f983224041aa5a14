"""The built-in networks: as large as they were published, and each takes a step that its own score can judge."""

from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils.data import default_collate

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import TrainingOptions, TrainingTask
from crowdrun.training.job import named_job
from crowdrun.training.models.table import BUILT_IN, task_named
from crowdrun.training.models.thin_resnet import Segment
from crowdrun.training.task_loader import load_task
from crowdrun.training.trainer import placed

#: Name -> parameters, and what the publication says.
PUBLISHED = {
    # LeCun et al., 1998, section II.B: 60,000, with 900 connections of the third layer left out.
    "lenet": (61_706, 60_000),
    # TensorFlow's tutorial "Convolutional neural networks": "1,068,298 learnable parameters".
    "cifar-net": (1_068_298, 1_068_298),
    # Krizhevsky et al., 2012, abstract: 60 million.
    "alexnet": (60_965_224, 60_000_000),
    # Simonyan and Zisserman, 2014, table 2: 138 million.
    "vgg-16": (138_357_544, 138_000_000),
    # Szegedy et al., 2015, abstract: less than 25 million, without the auxiliary classifier (see below).
    "inception-v3": (27_161_264, None),
    # Zagoruyko and Komodakis, "Wide residual networks", 2016, table 8: 11.7, 25.6 and 60.2 million.
    "resnet-18": (11_689_512, 11_700_000),
    "resnet-50": (25_557_032, 25_600_000),
    "resnet-152": (60_192_808, 60_200_000),
    # Ronneberger et al., 2015, figure 1 (one input channel, two classes) with the 31 million of its authors' network.
    "unet": (31_030_658, 31_000_000),
    # Keras' example counts 2,757,761 with one bias a gate (torch: two, 1,024 more) and one logit (here: two, 129).
    "bilstm": (2_757_761 + 1_024 + 129, 2_757_761),
    # A. Karpathy, 2015, on 2 x 512 units: "approx. 3.5 million parameters".
    "char-lstm": (3_481_728, 3_500_000),
    # Radford et al., 2019, table 2, says 117 million; the authors' code corrects it to 124 million.
    "gpt2": (124_439_808, 124_000_000),
}
#: Options that make a network small enough to take a step here in a moment.
SMALL: dict[str, dict[str, Any]] = {
    "alexnet": {"side": 67, "classes": 4},
    "bilstm": {"length": 16, "vocabulary": 1000},
    "char-lstm": {"units": 8, "length": 8},
    "gpt2": {"layers": 1, "width": 8, "heads": 2, "length": 8},
    "inception-v3": {"side": 107, "classes": 4},
    "matrix-power": {"size": 8},
    "resnet-18": {"side": 32, "classes": 4},
    "resnet-50": {"side": 32, "classes": 4},
    "resnet-152": {"side": 32, "classes": 4},
    "thin-resnet": {"layers": 8, "checkpoint": True},
    "unet": {"width": 4, "side": 16},
    "vgg-16": {"side": 32, "classes": 4},
}


def task_and_options(name: str, extra: dict[str, Any], **fields: Any) -> tuple[TrainingTask, TrainingOptions]:
    row = task_named(name, extra)
    return load_task(row.module, work_dir=Path("/")), TrainingOptions(**{**row.training, **fields}, extra=row.options)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_network_has_as_many_parameters_as_were_published(name: str) -> None:
    task, options = task_and_options(name, {})
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in task.model(options).parameters())
    ours, published = PUBLISHED[name]
    assert parameters == ours
    if published:
        assert parameters == pytest.approx(published, rel=0.03)


def test_inception_has_less_than_25_million_parameters_without_its_auxiliary_classifier() -> None:
    task, options = task_and_options("inception-v3", {})
    with torch.device("meta"):
        named = dict(task.model(options).named_parameters())
    assert sum(p.numel() for name, p in named.items() if not name.startswith("auxiliary")) == 23_834_568


@pytest.mark.parametrize("name", BUILT_IN)
def test_a_task_takes_a_step_on_its_own_samples_says_where_they_are_from_and_scores_each(name: str) -> None:
    task, options = task_and_options(name, SMALL.get(name, {}))
    torch.manual_seed(0)
    model, train, test = task.model(options), task.data("train", options), task.data("test", options)
    batch = default_collate([train[index] for index in range(4)])
    optimizer = task.optimizer(model, options)
    task.loss(model, batch).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
    optimizer.step()
    model.eval()
    with torch.no_grad():
        scores = task.score(model, default_collate([test[index] for index in range(3)]))
    assert {values.shape for values in scores.values()} == {(3,)}
    assert train.source  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["thin-resnet", "lenet", "matrix-power", "unet"])
def test_a_task_learns(name: str) -> None:
    extra = {**SMALL.get(name, {}), "samples": 32} if name != "lenet" else {}
    task, options = task_and_options(name, extra)
    torch.manual_seed(0)
    model, samples = task.model(options), task.data("train", options)
    batch = default_collate([samples[index] for index in range(32)])
    optimizer, losses = task.optimizer(model, options), []
    for _ in range(20):
        optimizer.zero_grad()
        loss = task.loss(model, batch)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


def test_checkpointing_changes_neither_the_loss_nor_the_gradients() -> None:
    found = []
    for checkpoint in (False, True):
        task, options = task_and_options("thin-resnet", {"layers": 32, "checkpoint": checkpoint})
        torch.manual_seed(0)
        model, samples = task.model(options), task.data("train", options)
        assert sum(isinstance(module, Segment) for module in model.modules()) == (4 if checkpoint else 0)
        loss = task.loss(model, default_collate([samples[0], samples[1]]))
        loss.backward()  # type: ignore[no-untyped-call]
        found.append([loss.detach(), *(p.grad for p in model.parameters())])
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))  # type: ignore[arg-type]


def test_a_model_on_several_devices_stays_there_and_another_is_moved() -> None:
    """`meta` stands for a second device, which this machine may lack."""
    task, options = task_and_options("matrix-power", {"size": 4, "devices": ["cpu", "meta"]})
    model = placed(task.model(options), torch.device("cpu"), options)
    assert [parameter.device.type for parameter in model.parameters()] == ["cpu", "meta"]
    task, options = task_and_options("lenet", {}, precision="fp64")
    with torch.device("meta"):
        lenet = task.model(options)
    assert {p.dtype for p in placed(lenet, torch.device("meta"), options).parameters()} == {torch.float64}


@pytest.mark.parametrize(
    ("name", "extra", "said"),
    [
        ("resnet-18", {"depth": 34}, "the option depth is 34; it must be one of 18, 50, 152"),
        ("alexnet", {"side": 20}, "the option side is 20; it must be a whole number of 67 or more"),
        ("gpt2", {"width": 100}, "the option width is 100; it must be a multiple of the 12 heads"),
        ("matrix-power", {"devices": ["cpu"]}, r"the option devices is \['cpu'\]; it must be two names"),
        ("thin-resnet", {"checkpoint": "yes"}, "the option checkpoint is 'yes'; it must be true or false"),
    ],
)
def test_an_option_that_cannot_be_used_is_named(name: str, extra: dict[str, Any], said: str) -> None:
    task, options = task_and_options(name, extra)
    with pytest.raises(ConfigError, match=said):
        task.model(options)


def test_every_row_of_the_table_is_a_task_and_every_task_is_in_the_table() -> None:
    folder = Path(str(import_module("crowdrun.training.models").__file__)).parent
    tasks = {file.stem for file in folder.glob("*.py") if "def model(" in file.read_text()}
    assert {row.module.rpartition(".")[2] for row in BUILT_IN.values()} == tasks
    for name in BUILT_IN:
        job = named_job(name, work_dir=Path("/w"))
        assert job.task
        assert (job.name, job.task.model) == (name, name)
