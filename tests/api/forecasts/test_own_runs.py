"""`crowdrun bench gpu-memory --runs`: what the runs of a home teach about its cards.

The records are written by the test, as a run on a GPU writes them: there is no GPU here.
"""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from crowdrun.api.cli import main
from crowdrun.api.commands.estimate import command as estimate
from crowdrun.predictor.gpu_memory.learned.file import read_device_model
from tests.predictor.gpu_memory.learned.steps import made_up


def record(
    home: Path, number: int, task: str, features: dict[str, float], card_mb: float, device: str = "cuda"
) -> None:
    """Of a run that came to its end."""
    folder = home / "runs" / f"20260101T{number:06}Z-run"
    folder.mkdir(parents=True)
    told = {
        "plan": {"split": {"features": features}},
        "attempts": [{"outcome": {"peak_gpu_mem_mb": card_mb}}],
        "result": {"device": device, "target": task, "ranks": [{"peak_mem_mb": 900.0}]},
    }
    (folder / "outcome.json").write_text(json.dumps(told))


def bench(home: Path, *options: str) -> int | str | None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "gpu-memory", "--runs", "--home", str(home), *options])
    return ended.value.code


def test_a_few_runs_teach_a_line_that_estimate_then_goes_by(tmp_path: Path) -> None:
    for number, reserved in enumerate((1000.0, 2000.0, 4000.0, 8000.0, 3000.0, 6000.0)):
        record(tmp_path, number, f"task-{number % 2}", {"reserved": reserved}, 1.1 * reserved + 700)
    record(tmp_path, 7, "on a CPU", {"reserved": 100.0}, 50_000.0, device="cpu")
    saved, figures = tmp_path / "cards.json", tmp_path / "figures.json"
    assert bench(tmp_path, "--save", str(saved), "--json", str(figures)) == 0
    found = json.loads(figures.read_text())
    assert (found["rows"], found["families"]) == (6, 2)
    assert found["p90_error"] == found["median_margin"] == 0
    said = json.loads(
        CliRunner().invoke(estimate, ["lenet", "--batch", "8", "--json", "-", "--correction", str(saved)]).stdout
    )
    assert said["device_mb"] == pytest.approx(1.1 * said["reserved_mb"] + 700)
    assert said["device_basis"] == "learned from the runs here; 6 measured steps"


def test_runs_that_are_too_few_to_be_judged_are_learned_from_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, reserved in enumerate((1000.0, 2000.0, 4000.0)):
        record(tmp_path, number, "one task", {"reserved": reserved}, reserved + 700)
    assert bench(tmp_path, "--save", str(tmp_path / "cards")) == 0
    assert "3 measured runs were learned from, and not judged: without a part of them 2 " in capsys.readouterr().out
    assert read_device_model(tmp_path / "cards").whole_card_mb({"reserved": 3000.0}) == pytest.approx(3700)


def test_many_runs_of_several_tasks_teach_the_crowd(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number, step in enumerate(made_up(families=8, each=8)):
        record(tmp_path, number, step.family, dict(step.features), step.measured_mb)
    assert bench(tmp_path, "--save", str(tmp_path / "cards")) == 0
    assert "64 measured runs of 8 tasks" in capsys.readouterr().out
    assert "measured steps of 8 families" in read_device_model(tmp_path / "cards").basis


def test_where_no_run_was_measured_it_says_so_and_exits_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record(tmp_path, 1, "on a CPU", {"reserved": 100.0}, 500.0, device="cpu")
    assert bench(tmp_path) == 2
    assert "was forecast and measured on a GPU" in capsys.readouterr().err
