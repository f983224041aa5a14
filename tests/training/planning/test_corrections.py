import json
from pathlib import Path
from typing import Any

import pytest

from crowdrun.training.planning.corrections import corrections
from crowdrun.training.planning.forecaster import Correction


def run(folder: Path, number: int, **changed: Any) -> None:
    """The record of a run whose two ranks held 250 and 300 MB, with 100 forecast for the step."""
    record: dict[str, Any] = {
        "site": "here",
        "plan": {"split": {"forecast_mb": 100.0, "basis": "a card"}},
        "attempts": [{"outcome": {"peak_gpu_mem_mb": None}}],
        "result": {"device": "cpu", "ranks": [{"peak_mem_mb": 250.0}, {"peak_mem_mb": 300.0}]},
    } | changed
    place = folder / f"2026010{number}T000000Z-x"
    place.mkdir()
    (place / "outcome.json").write_text(json.dumps(record))


def test_the_middle_difference_of_the_runs_of_a_place_corrects_its_next_forecast(tmp_path: Path) -> None:
    for number, forecast in enumerate((100.0, 120.0, 20.0)):
        run(tmp_path, number, plan={"split": {"forecast_mb": forecast}})
    run(tmp_path, 7, site="elsewhere")
    assert corrections(tmp_path, "here", "a card") == {"cpu": Correction(mb=200.0, runs=3)}


def test_what_was_forecast_by_another_correction_file_teaches_nothing_of_cards(tmp_path: Path) -> None:
    ranks = [{"peak_mem_mb": 900.0, "peak_gpu_mem_mb": 700.0}]
    for number, basis in enumerate(("a card", "another")):
        plan = {"split": {"forecast_mb": 100.0 + number, "basis": basis}}
        attempts = [{"outcome": {"peak_gpu_mem_mb": 1300.0}}]
        run(tmp_path, number, plan=plan, attempts=attempts, result={"device": "cuda", "ranks": ranks})
    assert corrections(tmp_path, "here", "another") == {"cuda": Correction(mb=1199.0, runs=1)}


def test_of_a_gpu_the_drivers_figure_counts(tmp_path: Path) -> None:
    ranks = [{"peak_mem_mb": 900.0, "peak_gpu_mem_mb": 700.0}]
    run(tmp_path, 1, attempts=[{"outcome": {"peak_gpu_mem_mb": 1300.0}}], result={"device": "cuda", "ranks": ranks})
    run(tmp_path, 2, result={"device": "cuda", "ranks": ranks})
    assert corrections(tmp_path, "here", "a card") == {"cuda": Correction(mb=1200.0, runs=1)}


@pytest.mark.parametrize("changed", [{"result": None}, {"plan": {"split": None}}, {"result": {"ranks": []}}])
def test_a_run_without_a_forecast_or_a_measurement_teaches_nothing(tmp_path: Path, changed: dict[str, Any]) -> None:
    run(tmp_path, 1, **changed)
    (tmp_path / "20260109T000000Z-killed").mkdir()
    (tmp_path / "20260108T000000Z-torn").mkdir()
    (tmp_path / "20260108T000000Z-torn" / "outcome.json").write_text('{"site": "he')
    assert corrections(tmp_path, "here", "a card") == {}
    assert corrections(tmp_path / "none", "here", "a card") == {}
