"""What a model knows of itself: how good it was at jobs that it had not seen."""

import json
from pathlib import Path

import pandas as pd
import pytest

from crowdrun.data.labels import believable_request_mb
from crowdrun.predictor.crowd import FIGURES_FILE, Crowd
from crowdrun.predictor.evaluation.model_figures import SEGMENTS, TOLD_LEVELS, WATCHED_LEVEL
from crowdrun.predictor.learners.registry import LEARNERS

WHO = {"mode", "poll", "crowd", *LEARNERS}


def test_each_target_has_its_coverage_and_loss_in_all_and_by_segment(crowd: Crowd) -> None:
    assert crowd.figures.keys() == crowd.models.keys()
    for figures in crowd.figures.values():
        assert [one["level"] for one in figures["coverage"]] == TOLD_LEVELS.tolist()
        assert sum(segment["jobs"] for segment in figures["segments"]) == figures["judged"] > 200
        covered = sum(segment["jobs"] * segment["covered"] for segment in figures["segments"]) / figures["judged"]
        (told,) = (one["value"] for one in figures["coverage"] if one["level"] == WATCHED_LEVEL)
        assert covered == pytest.approx(told)


def test_memory_has_the_accuracy_of_everyone_and_its_mean_over_the_segments_is_that_over_all(crowd: Crowd) -> None:
    figures = crowd.figures["mem_mb"]
    assert len(figures["segments"]) == SEGMENTS
    assert figures["accuracy"].keys() == WHO
    for name, share in figures["accuracy"].items():
        parts = sum(part["jobs"] * part["accuracy"][name] for part in figures["segments"])
        assert parts / figures["judged"] == pytest.approx(share)
        assert 0 <= share <= 1


def test_what_is_saved_is_the_same_sum_whichever_way_it_is_cut(crowd: Crowd) -> None:
    saved = crowd.figures["mem_mb"]["savings"]
    for way, figures in saved["ways"].items():
        for rows in (*saved["by"].values(), saved["over_time"]):
            assert sum(row[way] for row in rows) == pytest.approx(figures["waste_gbh"])
    assert saved["ways"]["safe"]["waste_gbh"] < saved["ways"]["request"]["waste_gbh"]


def test_the_waste_of_the_requests_is_that_of_the_log(crowd: Crowd, job_log: pd.DataFrame) -> None:
    saved = crowd.figures["mem_mb"]["savings"]
    log = job_log.sort_values("submit_time")[-saved["jobs"] :]
    hours = (log["end_time"] - log["start_time"]) / 3600
    unused = (believable_request_mb(log) - log["peak_mem_mb"]) * hours / 1024
    assert saved["ways"]["request"]["waste_gbh"] == pytest.approx(unused.sum())


def test_they_are_kept_with_the_model_and_a_model_without_them_is_read_all_the_same(
    crowd: Crowd, tmp_path: Path
) -> None:
    crowd.save(tmp_path)
    assert json.loads((tmp_path / FIGURES_FILE).read_text()) == crowd.figures == Crowd.load(tmp_path).figures
    (tmp_path / FIGURES_FILE).unlink()
    assert Crowd.load(tmp_path).figures == {}
