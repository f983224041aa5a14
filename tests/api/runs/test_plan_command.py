"""`crowdrun plan` as a person types it; the forecasts are real."""

import json
from pathlib import Path

import pytest

from crowdrun.api.cli import main
from tests.training.planning.test_placement import PAIRS


def plan(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["plan", "--no-predict", *arguments])
    return int(ended.value.code or 0)


def test_a_network_that_is_too_large_for_a_card_is_split_and_the_cards_with_fast_links_are_taken(
    crowdrun_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    topology, told = tmp_path / "topology.txt", tmp_path / "plan.json"
    topology.write_text(PAIRS)
    status = plan(
        "resnet-18", "--topology", str(topology), "--gpus", "2", "--card", "2GB", "--on", "slurm", "--dry-run",
        "--json", str(told),
    )  # fmt: skip
    said = capsys.readouterr().out
    record = json.loads(told.read_text())
    split = record["plan"]["split"]
    assert status == 0
    assert split["fits"]
    assert split["needed_mb"] <= 2048
    assert split["micro_batch"] * split["accumulation"] * 2 >= 32
    assert record["plan"]["placement"]["cards"] == [[0, 2]]
    assert f"{split['micro_batch']} at once" in said.replace("\n", " ")
    assert '#SBATCH --gpus-per-node="2"' in said
    assert not list(crowdrun_home.glob("runs/*"))


def test_on_this_machine_the_host_memory_of_the_ranks_is_forecast(
    crowdrun_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan("lenet", "--ranks", "2", "--gpus", "0", "--json", "-") == 0
    record = json.loads(capsys.readouterr().out)
    [one, other] = record["plan"]["rank_forecast_mb"]
    assert one == other > 100
    assert record["plan"]["mem_mb"] > 2 * one


def test_the_ranks_of_a_pipeline_are_forecast_each_for_itself(
    crowdrun_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan("thin-resnet", "--ranks", "2", "--gpus", "0", "--strategy", "pipeline", "--json", "-") == 0
    record = json.loads(capsys.readouterr().out)
    [first, second] = record["plan"]["rank_forecast_mb"]
    assert first > second > 100
    assert record["plan"]["split"]["strategy"] == "pipeline"


def test_a_task_that_fails_leaves_a_plan_without_a_forecast(
    crowdrun_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "task.py").write_text("raise ValueError('no such data')")
    (tmp_path / "job.toml").write_text("task = 'task.py'")
    assert plan(str(tmp_path / "job.toml")) == 0
    said = capsys.readouterr()
    assert "no forecast: no such data" in said.err
    assert "1 on 1 node(s)" in said.out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lenet", "--nodes", "2"], "say with --gpus what each has"),
        (["lenet", "--card", "much"], "--card: "),
        (["lenet", "--topology", __file__], "is not what `nvidia-smi topo --matrix` prints"),
    ],
)
def test_a_machine_that_is_described_wrongly_is_an_error(
    crowdrun_home: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plan(*arguments) == 1
    assert said in capsys.readouterr().err
