"""The benches of training, really run, on few steps."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from crowdrun.api.commands.bench import command
from crowdrun.training.bench.compare import WAYS
from crowdrun.training.strategies.settings import SETTINGS, strategy_spec


def test_strategies_are_compared_and_what_does_not_fit_the_model_says_why(tmp_path: Path) -> None:
    file, plot = tmp_path / "figures.json", tmp_path / "bars.svg"
    options = ["--ranks", "2", "--steps", "3", "--model", "digits", "--json", str(file), "--plot", str(plot)]
    result = CliRunner().invoke(command, ["compare", *options, "--strategy", "ddp", "--strategy", "tensor"])
    assert result.exit_code == 0, result.output
    figures = json.loads(file.read_text())
    single, ddp = figures["strategies"]["single"], figures["strategies"]["ddp"]
    assert (single["bytes_per_step"], single["max_abs_diff"], len(single["peak_mem_mb"])) == (0, 0.0, 1)
    assert ddp["bytes_per_step"] == pytest.approx(4 * 14_858, rel=0.1)  # each rank sends half of the floats twice
    # In fp32, where a step of Adam follows the sign of gradients next to 0; ranks that are not in step differ by 3e-3.
    assert ddp["max_abs_diff"] < 5e-4
    assert ddp["step_s"] > 0
    assert all(100 < mb < 2000 for mb in ddp["peak_mem_mb"])
    assert len(ddp["peak_mem_mb"]) == 2
    assert ddp["losses"] == pytest.approx(single["losses"], abs=1e-3)
    assert "found no two Linear layers" in figures["skipped"]["tensor"]
    assert "found no two Linear layers" in result.output.replace("\n", " ")
    assert "measured on CPUs" in result.output
    assert plot.read_text().count("<svg") == 1


def test_a_deep_network_is_trained_and_its_losses_told(tmp_path: Path) -> None:
    file = tmp_path / "depth.json"
    result = CliRunner().invoke(command, ["depth", "--layers", "200", "--stages", "2", "--json", str(file)])
    assert result.exit_code == 0, result.output
    figures = json.loads(file.read_text())
    assert (figures["layers"], len(figures["peak_mem_mb"]), len(figures["losses"])) == (200, 2, 3)
    assert "200 layers in 2 pipeline stages" in result.output


def test_samples_a_second_are_measured_by_batch_size(tmp_path: Path) -> None:
    file, plot = tmp_path / "batch.json", tmp_path / "batch.svg"
    options = ["--largest", "2", "--steps", "3", "--json", str(file), "--plot", str(plot)]
    result = CliRunner().invoke(command, ["batch", *options])
    assert result.exit_code == 0, result.output
    figures = json.loads(file.read_text())
    assert [one["batch_size"] for one in figures["batches"]] == [1, 2]
    assert all(one["samples_per_s"] == one["batch_size"] / one["step_s"] for one in figures["batches"])
    assert plot.is_file()


def test_speedup_is_measured_strong_and_weak(tmp_path: Path) -> None:
    file, plot = tmp_path / "scaling.json", tmp_path / "scaling.svg"
    options = ["--batch-size", "8", "--steps", "3", "--json", str(file), "--plot", str(plot)]
    result = CliRunner().invoke(command, ["scaling", *options])
    assert result.exit_code == 0, result.output
    figures = json.loads(file.read_text())
    assert [(one["ranks"], one["batch_size"]) for one in figures["weak"]] == [(1, 8), (2, 16)]
    assert [(one["ranks"], one["batch_size"]) for one in figures["strong"]] == [(1, 8), (2, 8)]
    for kind in ("strong", "weak"):
        assert (figures[kind][0]["speedup"], figures[kind][0]["efficiency"]) == (1.0, 1.0)
        assert figures[kind][1]["efficiency"] == figures[kind][1]["speedup"] / 2
    assert plot.is_file()


def test_every_strategy_is_among_those_that_are_compared() -> None:
    assert {strategy_spec(dict(way)).name for way in WAYS.values()} | {"single"} == SETTINGS.keys()


def test_training_to_a_target_tells_how_long_each_way_took(tmp_path: Path) -> None:
    file, plot = tmp_path / "figures.json", tmp_path / "curves.svg"
    options = ["--target", "0.3", "--epochs", "6", "--batch-size", "16", "--option", "samples=200"]
    result = CliRunner().invoke(command, ["accuracy", *options, "--json", str(file), "--plot", str(plot)])
    assert result.exit_code == 0, result.output
    figures = json.loads(file.read_text())
    runs = {(one["kind"], one["division"], one["ranks"]): one for one in figures["runs"]}
    assert list(runs) == [
        ("strong", "shuffled", 1),
        ("strong", "shuffled", 2),
        ("strong", "non-overlapping", 2),
        ("weak", "shuffled", 2),
        ("weak", "non-overlapping", 2),
    ]
    alone, divided = runs["strong", "shuffled", 1], runs["strong", "shuffled", 2]
    losses = [[point["loss"] for point in one["curve"]] for one in (alone, divided)]
    assert losses[1] == pytest.approx(losses[0], abs=1e-2)  # the same steps, in fp32
    assert runs["weak", "shuffled", 2]["batch_size"] == 32
    for one in runs.values():
        assert one["reached"] == (one["curve"][-1]["score"] >= 0.3)
        assert one["epochs"] == len(one["curve"]) <= 6
        assert one["train_s"] == one["curve"][-1]["train_s"] > 0
    assert alone["reached"]
    assert (figures["score"], figures["target"]) == ("accuracy", 0.3)
    assert plot.read_text().count("<svg") == 1


def test_a_score_that_is_not_reached_is_said(tmp_path: Path) -> None:
    options = ["--target", "1.1", "--epochs", "1", "--option", "samples=64"]
    result = CliRunner().invoke(command, ["accuracy", *options])
    assert result.exit_code == 0, result.output
    assert "not in" in result.output
