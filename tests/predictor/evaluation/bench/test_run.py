"""The bench on a small log of its own: what the file of figures holds, and that the figures hang together."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.errors import ConfigError, LogError
from crowdrun.predictor.baselines.registry import BASELINES, REFITTED
from crowdrun.predictor.baselines.rules import RULES
from crowdrun.predictor.evaluation.bench import run
from crowdrun.predictor.evaluation.bench.page import write_json
from crowdrun.predictor.learners.registry import LEARNERS

MEMBERS = [f"member_{name}" for name in LEARNERS]


@pytest.fixture
def log(figures: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = figures["logs"]["small"]
    return found


def test_everybody_is_judged_on_the_same_jobs(log: dict[str, Any]) -> None:
    assert list(log["methods"]) == [
        "crowd_safe", "crowd_lean", *BASELINES, *REFITTED, "mode", "poll",
        *(f"rule_{place}" for place in range(1, len(RULES) + 1)), *MEMBERS, *(f"{name}_cheapest" for name in MEMBERS),
        "hindsight_member", "hindsight_constant",
    ]  # fmt: skip
    assert log["scored"] == 320
    for one in log["methods"].values():
        assert one["waste_gbh"] > 0
        assert 0 <= one["fail"] <= 1
        assert 0 < one["maq"] < 1
        assert one["waste_gbh_interval"][0] <= one["waste_gbh"] <= one["waste_gbh_interval"][1]


def test_who_says_a_distribution_has_coverage_and_who_names_a_class_has_accuracy(log: dict[str, Any]) -> None:
    covered = {name for name, one in log["methods"].items() if "coverage" in one}
    assert covered == {"crowd_safe", "crowd_lean", "booster", *MEMBERS}
    for name in covered:
        shares = [log["methods"][name]["coverage"][level] for level in ("90", "95", "99")]
        assert shares == sorted(shares)
    named = {name for name, one in log["methods"].items() if "class_exact" in one}
    assert named == {"crowd_safe", "crowd_lean", "mode", "poll", *MEMBERS}
    assert all(log["methods"][name]["class_within_one"] >= log["methods"][name]["class_exact"] for name in named)


def test_hindsight_is_no_worse_than_what_it_chooses_from(log: dict[str, Any]) -> None:
    wasted = {name: one["waste_gbh"] for name, one in log["methods"].items()}
    assert wasted["hindsight_member"] == min(wasted[f"{name}_cheapest"] for name in MEMBERS)
    assert wasted["hindsight_constant"] <= wasted["request"]


def test_the_frontier_names_whoever_fails_no_oftener_and_wastes_less(log: dict[str, Any]) -> None:
    for name in ("crowd_safe", "crowd_lean"):
        crowd, found = log["methods"][name], log["frontier"][name]
        better = {
            other
            for other, one in log["methods"].items()
            if one["kind"] in {"published", "rule", "member"}
            and one["fail"] <= crowd["fail"]
            and one["waste_gbh"] < crowd["waste_gbh"]
        }
        assert {one["method"] for one in found["beaten_by"]} == better
        assert found["on_frontier"] == (not better)


def test_other_targets_stand_beside_their_simple_predictors(log: dict[str, Any]) -> None:
    gpus, run_time = log["targets"]["gpus"], log["targets"]["run_time_s"]
    assert list(gpus["methods"]) == ["crowd", "crowd_median", "request", "same_as_last", "always_1"]
    # Every job of the log is given what it asked for.
    assert gpus["methods"]["request"]["accuracy"] == 1.0
    assert gpus["methods"]["crowd"]["accuracy"] >= gpus["methods"]["same_as_last"]["accuracy"]
    assert run_time["methods"]["crowd"]["pinball"] < run_time["methods"]["request"]["pinball"]
    assert set(run_time["methods"]["crowd"]["coverage"]) == {"90", "95", "99"}


def test_the_file_is_strict_json_with_the_same_figures(figures: dict[str, Any], tmp_path: Path) -> None:
    write_json(figures, tmp_path / "bench.json")
    assert json.loads((tmp_path / "bench.json").read_text("utf-8"), parse_constant=pytest.fail) == figures


def test_a_line_of_text_for_each_method_and_target(figures: dict[str, Any]) -> None:
    lines = list(run.table(figures))
    assert lines[0] == "small: 400 jobs"
    assert len(lines) == 1 + len(figures["logs"]["small"]["methods"]) + 5 + 3


def test_a_name_that_is_no_log_and_a_folder_without_traces_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no log nowhere; there are iu-mason, "):
        run.run(tmp_path, logs=["nowhere"])
    with pytest.raises(ConfigError, match=r"there is no share half; there are all, first60, last40"):
        run.run(tmp_path, logs=["iu-mason"], share="half")
    with pytest.raises(LogError, match=r"iu-mason-2017\.pbs-accounting\.xz"):
        run.run(tmp_path, logs=["iu-mason"])


def test_the_shares_are_judged_apart_and_the_first_never_sees_the_rest(job_log: pd.DataFrame, make_trace: Any) -> None:
    trace = make_trace(job_log)
    last = run.within(trace, "last40")
    assert (last.sum(), last[:240].any()) == (160, False)
    first = trace.first(240)
    assert len(first.log) == len(first.judged) == len(first.families) == 240
    np.testing.assert_array_equal(first.log.labels["mem_mb"], trace.log.labels["mem_mb"][:240])
