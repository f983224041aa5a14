"""Tasks that are really trained: by two ranks under torchrun, by one, and alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import TrainingOptions, TrainingTask
from crowdrun.training.job import load_job
from crowdrun.training.launch.local import LocalLauncher
from crowdrun.training.models import digits
from crowdrun.training.runs.attempts import run_job
from crowdrun.training.task_loader import load_task

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "digits.toml"

#: A regression that uses modules of its own with the names of ours, and says what its process has imported.
TASK = """
import sys
import torch
import api, data as my_data, predictor, training

def model(options):
    return torch.nn.Linear(1, 1)

def data(split, options):
    return my_data.Numbers()

def loss(model, batch):
    return ((model(batch["x"]) - batch["y"]) ** 2).mean()

def optimizer(model, options):
    return torch.optim.SGD(model.parameters(), lr=options.learning_rate)

def score(model, batch):
    heavy = {"sklearn", "xgboost", "fastapi", "pandas", "pyarrow"} & set(sys.modules)
    print("imported:", sorted(heavy), training.WORD)
    return {"near": ((model(batch["x"]) - batch["y"]).abs() < 0.1).float()}
"""
NUMBERS = """
import torch
class Numbers:
    def __len__(self): return 7
    def __getitem__(self, i):
        x = torch.tensor([i / 7])
        return {"x": x, "y": 2 * x + 1}
"""


def train(folder: Path, job_file: Path) -> dict[str, object]:
    job = load_job(job_file, work_dir=folder)
    record = run_job(
        job, LocalLauncher(), runs_dir=folder / "runs", recommend=lambda _: None, keep=lambda request, outcome: None
    )
    log = (record.folder / "attempt-1" / "output-0.log").read_text()
    assert record.result, log
    return {**record.result, "log": log, "outcome": record.last.outcome}


def test_two_ranks_learn_the_digits_to_over_97_percent(tmp_path: Path) -> None:
    result = train(tmp_path, EXAMPLE)
    assert result["scores"]["accuracy"] > 0.97  # type: ignore[index]
    assert len(result["ranks"]) == 2  # type: ignore[arg-type]
    assert result["outcome"].state == "COMPLETED"  # type: ignore[attr-defined]
    [run] = (tmp_path / "runs").iterdir()
    logs = [
        [json.loads(line) for line in (run / "attempt-1" / f"rank-{rank}.jsonl").read_text().splitlines()]
        for rank in (0, 1)
    ]
    for log in logs:
        assert [line["event"] for line in log] == ["begin", *["epoch"] * 20, "end"]
    size = len(digits.data("train", TrainingOptions()))
    # Each rank tells of its own samples: together they are those of the set.
    assert {one["samples"] + other["samples"] for one, other in zip(*logs, strict=True) if "samples" in one} == {size}


@pytest.fixture
def task_folder(tmp_path: Path) -> Path:
    """A task file beside modules of its own with the names of ours; its last batch has 3 of the 7 samples."""
    options = "epochs=30, batch_size=4, learning_rate=0.3"
    end = (
        "from crowdrun.data.task import TrainingOptions\n"
        "from crowdrun.training.worker import alone\n"
        f"if __name__ == '__main__': alone(__file__, TrainingOptions({options}))\n"
    )
    files = {"task": TASK + end, "data": NUMBERS, "training": "WORD = 'mine'", "api": "", "predictor": ""}
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(text)
    (tmp_path / "job.toml").write_text("task = 'task.py'\nranks = 2\n" + options.replace(", ", "\n"))
    return tmp_path


def test_two_ranks_take_the_steps_of_one_load_nothing_heavy_and_find_modules_of_any_name(task_folder: Path) -> None:
    two = train(task_folder, task_folder / "job.toml")
    alone = subprocess.run([sys.executable, "task.py"], cwd=task_folder, capture_output=True, text=True, timeout=120)
    assert "imported: [] mine" in two["log"]  # type: ignore[operator]
    assert "imported: [] mine" in alone.stdout, alone.stderr
    assert two["scores"] == json.loads(alone.stdout.splitlines()[-1]) == {"near": 1.0}
    losses = [epoch["loss"] for epoch in two["history"]]  # type: ignore[attr-defined]
    said = [float(line.split("loss=")[1].split()[0]) for line in alone.stdout.splitlines() if "loss=" in line]
    assert said == pytest.approx(losses, rel=1e-4)  # printed with six digits
    assert two["parameters"] == 2


def test_the_digits_are_all_there_split_once_and_for_all() -> None:
    sets = [digits.data(split, TrainingOptions()) for split in ("train", "test")]
    assert [len(part) for part in sets] == [1438, 359]
    images, labels = sets[0][:]
    assert images.shape == (1438, 1, 8, 8)
    assert (float(images.min()), float(images.max())) == (0.0, 1.0)
    assert sorted(set(labels.tolist())) == list(range(10))


def test_the_built_in_tasks_keep_the_typed_protocol() -> None:
    task: TrainingTask = digits
    assert load_task("crowdrun.training.models.digits", work_dir=Path("/")) is task


def test_an_optimiser_that_is_not_known_is_named_with_those_that_are() -> None:
    options = TrainingOptions(optimizer="lion")
    with pytest.raises(ConfigError, match="optimizer is 'lion'; it must be one of sgd, adam, adamw, rmsprop"):
        digits.optimizer(digits.model(options), options)


def test_a_task_that_lacks_functions_is_told_which(tmp_path: Path) -> None:
    (tmp_path / "half.py").write_text("def model(options): ...\ndef data(split, options): ...\n")
    with pytest.raises(ConfigError, match="does not define loss, optimizer, score"):
        load_task(str(tmp_path / "half.py"), work_dir=tmp_path)


def test_a_task_module_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigError, match=r"there is no task module 'no\.such\.task'"):
        load_task("no.such.task", work_dir=Path("/"))
