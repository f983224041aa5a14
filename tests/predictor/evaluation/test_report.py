"""The report of a small log, from its replay to the page."""

import json
import re
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from crowdrun.data.errors import OutputError
from crowdrun.predictor.baselines.rules import REQUEST, RULES
from crowdrun.predictor.evaluation.inline_svg import INKS
from crowdrun.predictor.evaluation.report import ALTERNATIVES, write_report
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import LEVELS
from crowdrun.predictor.replay import Replayed, replay
from crowdrun.predictor.target import TARGETS_BY_NAME

ROWS = 300
#: Names as hostile or foreign as a log may hold them.
USERS = ("ada", "<script>alert(1)</script>", "$x_1$ & co", "名前", "nul\0name", "a-very-long-user-name-of-a-service")
VOID = {"meta", "link", "br", "path", "use"}


@pytest.fixture(scope="module")
def log() -> LearningLog:
    random = np.random.default_rng(0)
    family = random.integers(0, len(USERS), ROWS)
    submit = np.cumsum(random.exponential(600, ROWS))
    run = np.round(np.exp2(6 + family + random.normal(0, 0.5, ROWS)))
    peak = np.exp2(8 + family / 2 + random.normal(0, 0.3, ROWS))
    state = np.where(random.uniform(size=ROWS) < 0.05, "OUT_OF_MEMORY", "COMPLETED")
    return LearningLog.of(
        pd.DataFrame(
            {
                "job_id": [str(i) for i in range(ROWS)], "user": [USERS[f] for f in family],
                "job_name": [f"train-{i}" for i in range(ROWS)], "partition": "gpu", "submit_time": submit,
                "start_time": submit + 5, "end_time": submit + 5 + run, "state": state, "req_nodes": 1.0,
                "req_cpus": 4.0, "req_mem_mb": 16384.0, "timelimit_s": 36000.0, "peak_mem_mb": peak,
            }
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def replayed(log: LearningLog) -> dict[str, Replayed]:
    return {name: replay(log, TARGETS_BY_NAME[name], refits=4, risk=0.05) for name in ("mem_mb", "run_time_s")}


@pytest.fixture(scope="module")
def written(
    log: LearningLog, replayed: dict[str, Replayed], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Mapping[str, Any], Path]:
    out = tmp_path_factory.mktemp("report")
    return write_report(out, log, replayed, risk=0.05, seconds=1.5), out


def test_the_file_holds_the_figures_that_are_returned_and_no_nan(written: tuple[Mapping[str, Any], Path]) -> None:
    figures, out = written
    text = (out / "report.json").read_text("utf-8")
    assert json.loads(text, parse_constant=pytest.fail) == figures
    assert sorted(file.name for file in out.iterdir()) == ["report.html", "report.json"]


def test_every_allocation_is_judged_with_an_interval_around_its_figure(written: tuple[Mapping[str, Any], Path]) -> None:
    memory = written[0]["memory"]
    assert list(memory["allocations"]) == ["crowd safe", "crowd lean", REQUEST, *RULES, *LEARNERS]
    for one in memory["allocations"].values():
        for name, figure in one.items():
            assert figure["low"] - 0.02 <= figure["value"] <= figure["high"] + 0.02, name
    assert memory["allocations"][REQUEST]["waste_of_request"]["value"] == 1.0
    assert (
        memory["allocations"]["crowd safe"]["waste_gbh"]["value"] < memory["allocations"][REQUEST]["waste_gbh"]["value"]
    )
    assert sum(user["jobs"] for user in memory["wasters"]) == memory["scored"] > 200


def test_curves_go_from_many_failures_to_few(written: tuple[Mapping[str, Any], Path]) -> None:
    curves = written[0]["memory"]["curves"]
    assert list(curves) == ["crowd", *LEARNERS]
    for curve in curves.values():
        failures = [point["first_attempt_failures"] for point in curve]
        assert failures == sorted(failures, reverse=True)
        assert (curve[0]["level"], curve[-1]["level"]) == (0.5, 0.998)


def test_coverage_grows_with_the_level_for_every_replayed_target(written: tuple[Mapping[str, Any], Path]) -> None:
    for name in ("mem_mb", "run_time_s"):
        covered = written[0]["targets"][name]["coverage"]
        assert covered["levels"] == LEVELS.tolist()
        for kind in ("raw", "calibrated"):
            shares = [share["value"] for share in covered[kind]]
            assert shares == sorted(shares)
            assert shares[0] < 0.5 < shares[-1]


def test_all_have_an_accuracy_in_each_of_five_segments(written: tuple[Mapping[str, Any], Path]) -> None:
    accuracy = written[0]["memory"]["accuracy"]
    assert list(accuracy["segments"]) == ["mode", "poll", "crowd", *LEARNERS]
    for name, shares in accuracy["segments"].items():
        assert len(shares) == 5
        assert all(0 <= share <= 1 for share in shares)
        assert np.mean(shares) == pytest.approx(accuracy["overall"][name]["value"], abs=0.02)


def test_censored_jobs_are_counted_and_a_target_without_labels_says_why(
    written: tuple[Mapping[str, Any], Path], log: LearningLog
) -> None:
    targets = written[0]["targets"]
    assert targets["mem_mb"]["censored"] == int((log.jobs["state"] == "OUT_OF_MEMORY").sum()) > 0
    assert targets["mem_mb"]["abstained"] >= 30
    assert "only 0 jobs" in targets["gpus"]["left_out"]


def test_the_crowd_knows_run_times_better_than_the_request(written: tuple[Mapping[str, Any], Path]) -> None:
    predictors = written[0]["run_time"]["predictors"]
    assert predictors["crowd"]["pinball"] < predictors["mean of the user's last two"]["pinball"]
    assert predictors["crowd"]["pinball"] < predictors["the user's request"]["pinball"]


class _Page(HTMLParser):
    """Checks that elements are closed in order, and collects what a browser would fetch, ids and images' names."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.ids: list[str] = []
        self.labels: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href", "xlink:href"} and not (value or "").startswith(("#", "data:")):
                self.fetched.append(str(value))
            if name == "id":
                self.ids.append(str(value))
            if name == "aria-label" and tag == "svg":
                self.labels.append(str(value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture
def page(written: tuple[Mapping[str, Any], Path]) -> str:
    return (written[1] / "report.html").read_text("utf-8")


def test_the_page_is_whole_and_asks_no_other_host(page: str) -> None:
    parsed = _Page()
    parsed.feed(page)
    assert parsed.open == []
    assert parsed.fetched == []
    assert "http" not in page
    assert "url(" not in re.sub(r"url\(#\w+\)", "", page)
    assert len(parsed.ids) == len(set(parsed.ids))


def test_every_plot_has_a_text_alternative_and_a_caption(page: str) -> None:
    parsed = _Page()
    parsed.feed(page)
    assert sorted(set(parsed.labels)) == sorted(ALTERNATIVES.values())
    assert parsed.tags.count("figure") == parsed.tags.count("figcaption") == len(ALTERNATIVES)


def test_plots_take_every_colour_from_the_page(page: str) -> None:
    for ink in INKS:
        assert page.count(f"--{ink}:") == 2, ink
    assert not [colour for colour in INKS.values() if colour in page]
    assert "prefers-color-scheme: dark" in page


def test_names_of_the_log_are_text_and_nothing_else(page: str) -> None:
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "$x_1$ &amp; co" in page
    assert "名前" in page
    assert "\0" not in page


def test_a_log_without_memory_peaks_is_reported_without_memory(
    log: LearningLog, replayed: dict[str, Replayed], tmp_path: Path
) -> None:
    bare = LearningLog.of(log.jobs.drop(columns=["peak_mem_mb", "timelimit_s"]))
    figures = write_report(tmp_path, bare, {"run_time_s": replayed["run_time_s"]}, risk=0.05, seconds=1.0)
    assert "memory" not in figures
    assert "Are promises kept?" in (tmp_path / "report.html").read_text("utf-8")


def test_a_folder_that_is_not_there_is_an_error_that_names_the_file(
    log: LearningLog, replayed: dict[str, Replayed], tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match=r"report\.json"):
        write_report(tmp_path / "missing", log, replayed, risk=0.05, seconds=1.0)
