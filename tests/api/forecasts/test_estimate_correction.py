"""`crowdrun estimate --correction`: what was learned of a card is what is said, and the margin is its own."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from crowdrun.api.commands.estimate import command
from crowdrun.predictor.gpu_memory.learned.correction import Correction
from crowdrun.predictor.gpu_memory.learned.learning import learn
from tests.predictor.gpu_memory.learned.steps import made_up


def estimate(*options: str) -> Result:
    return CliRunner().invoke(command, ["lenet", "--batch", "8", "--json", "-", *options], catch_exceptions=False)


def test_a_learned_correction_says_the_whole_card_and_the_margin(tmp_path: Path) -> None:
    file = tmp_path / "card.npz"
    learn(made_up(), "a made-up card").save(file)
    said = json.loads(estimate("--correction", str(file), "--fit", "24GB", "--risk", "0.05").stdout)
    learned = Correction.load(file)
    assert said["device_mb"] == pytest.approx(learned.whole_card_mb(said["features"]))
    assert said["fit"]["needed_mb"] == pytest.approx(said["device_mb"] * learned.margin(0.05, said["features"]))
    assert said["device_basis"].startswith("a made-up card; 240 measured steps")


def test_a_measured_card_says_its_line(tmp_path: Path) -> None:
    file = tmp_path / "gpu-memory-card.json"
    overhead = {"slope": 2.0, "offset_mb": 100.0, "basis": "measured on a card", "margins": [[0.5, 1.0], [0.05, 1.5]]}
    file.write_text(json.dumps({"overhead": overhead}))
    said = json.loads(estimate("--correction", str(file), "--fit", "24GB", "--risk", "0.05").stdout)
    assert said["device_mb"] == pytest.approx(2 * said["reserved_mb"] + 100)
    assert said["fit"]["needed_mb"] == pytest.approx(1.5 * said["device_mb"])


@pytest.mark.parametrize(("content", "said"), [(None, "is not there"), ("# text", "holds nothing that was learned")])
def test_a_file_that_is_none_is_refused_with_what_to_do(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "card"
    if content:
        file.write_text(content)
    result = CliRunner().invoke(command, ["lenet", "--batch", "8", "--correction", str(file)])
    assert f"{file} {said}" in str(result.exception)
    assert "retrain" not in str(result.exception)


@pytest.mark.parametrize("name", ["card.npz", "card.json"])
def test_a_file_that_holds_nothing_learned_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    file.write_text("{}")
    result = CliRunner().invoke(command, ["lenet", "--batch", "8", "--correction", str(file)])
    assert result.exit_code != 0
    assert name in str(result.exception)
