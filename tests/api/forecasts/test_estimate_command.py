"""`crowdrun estimate` as a person runs it."""

import json
from pathlib import Path

import pytest

from crowdrun.api.cli import main

TASK = """
import torch
from torch import nn
from torch.utils.data import TensorDataset

def model(options):
    return nn.Sequential(nn.Linear(64, options.extra.get("width", 512)), nn.ReLU(), nn.Linear(512, 10))

def data(split, options):
    return TensorDataset(torch.zeros(5, 64), torch.zeros(5, dtype=torch.int64))

def loss(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])

def optimizer(model, options):
    return {"sgd": torch.optim.SGD, "adamw": torch.optim.AdamW}[options.optimizer](model.parameters())

def score(model, batch):
    return {}
"""


@pytest.fixture
def task(tmp_path: Path) -> str:
    (tmp_path / "task.py").write_text(TASK)
    return str(tmp_path / "task.py")


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["estimate", *arguments])
    return ended.value.code


def asked(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert run(*arguments, "--json", "-") == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_a_person_sees_the_peak_its_parts_and_the_modules(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(task, "--batch", "4096", "--optimizer", "adamw") == 0
    shown = capsys.readouterr().out
    for word in ("allocated", "reserved", "device", "not measured", "optimizer state", "activations", "1 ReLU"):
        assert word in shown


def test_a_program_gets_json(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = asked(capsys, task, "--batch", "64", "--optimizer", "adamw")
    assert said["micro_batch"] == 64
    assert said["parameters"] == 64 * 512 + 512 + 512 * 10 + 10


def test_options_reach_the_task(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    plain = asked(capsys, task, "--optimizer", "sgd")
    with_state = asked(capsys, task, "--optimizer", "adamw")
    assert "optimizer_state" in dict(with_state["split"])  # type: ignore[call-overload]
    assert "optimizer_state" not in dict(plain["split"])  # type: ignore[call-overload]
    assert run(task, "--option", "width=100") == 1
    assert "the module 2 (Linear) failed while it was traced" in capsys.readouterr().err


def test_a_batch_is_shared_by_gpus_and_micro_batches(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = asked(capsys, task, "--batch", "64", "--strategy", "ddp", "--world", "4", "--accumulate", "2")
    assert said["micro_batch"] == 8


def test_every_rank_of_a_pipeline_is_told_and_one_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    asks = ("lenet", "--batch", "64", "--strategy", "pipeline", "--world", "2", "--micro-batches", "8")
    said = asked(capsys, *asks)
    [first, last] = said["each_rank"]
    assert said["micro_batch"] == 8
    assert said["settings"]["rank"] == 0
    assert (first["layers"].split("-")[0], first["allocated_mb"]) == ("0", said["allocated_mb"])
    one = asked(capsys, *asks, "--rank", "1", "--schedule", "gpipe")
    assert one["each_rank"] == []
    assert one["allocated_mb"] > last["allocated_mb"]
    assert run(*asks) == 0
    assert "0, told here" in capsys.readouterr().out


def test_fit_says_the_largest_batch_and_what_would_help(task: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(task, "--batch", "1000000", "--fit", "1GB") == 0
    shown = capsys.readouterr().out
    assert "does not fit into 1G" in shown
    assert "the largest micro-batch that fits is" in shown
    assert "accumulation over" in shown


@pytest.mark.parametrize("name", ["plot.png", "plot.svg", "plot.html"])
def test_a_plot_is_written(name: str, task: str, tmp_path: Path) -> None:
    assert run(task, "--plot", str(tmp_path / name)) == 0
    assert (tmp_path / name).stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--plot", "a.txt"], "must end in .png, .svg, .pdf, .html"),
        (["--fit", "much"], "is not a number with a unit"),
        (["--world", "4"], "say how with --strategy"),
        (["--strategy", "fsdp"], "say how many with --world"),
        (["--option", "width"], "is not KEY=VALUE"),
        (["--strategy", "ddp", "--world", "2", "--rank", "2"], "must be 0 to 1"),
        (["--strategy", "pipeline", "--world", "2", "--inference"], "in training alone"),
    ],
)
def test_what_cannot_be_is_one_line(
    arguments: list[str], message: str, task: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(task, *arguments) == 1
    assert message in capsys.readouterr().err


def test_a_built_in_task_goes_by_its_name(capsys: pytest.CaptureFixture[str]) -> None:
    said = asked(capsys, "thin-resnet", "--option", "layers=8", "--batch", "4")
    assert said["peak_step"] in {1, 2}


def test_a_model_may_be_described_in_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "model.json"
    file.write_text('{"input": {"shape": [64]}, "layers": [{"kind": "linear", "features": 10}]}')
    assert asked(capsys, str(file), "--batch", "16")["parameters"] == 650
    file.write_text('{"architecture": "thin-resnet", "options": {"layers": 8}}')
    named = asked(capsys, str(file), "--batch", "4")
    assert named["parameters"] == asked(capsys, "thin-resnet", "--option", "layers=8", "--batch", "4")["parameters"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"input": {"shape": [64]}, "layers": [{"kind": "linear", "features": 0}]}', "layers[0].features is 0"),
        ('{"architecture": "resnet-5"}', "did you mean resnet-50"),
        ("[" * 100_000, "is not JSON"),
        ("{", "is not JSON"),
    ],
)  # fmt: skip
def test_a_description_that_cannot_be_built_is_one_line(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model.json").write_text(content)
    assert run(str(tmp_path / "model.json")) == 1
    assert message in capsys.readouterr().err


def test_where_there_is_no_gpu_the_measurement_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(SystemExit) as ended:
        main(["bench", "gpu-memory", "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert "no GPU at hand" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
