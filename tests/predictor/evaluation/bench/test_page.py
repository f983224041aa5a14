"""The bench's page: whole, told in text too, and asking no other host."""

import re
from pathlib import Path
from typing import Any

import pytest

from crowdrun.data.errors import OutputError
from crowdrun.predictor.evaluation.bench.page import page, write_page


def test_the_page_holds_every_method_and_asks_no_other_host(figures: dict[str, Any], tmp_path: Path) -> None:
    write_page(figures, tmp_path / "out")
    text = (tmp_path / "out" / "bench.html").read_text("utf-8")
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["bench.html", "bench.json"]
    for one in figures["logs"]["small"]["methods"].values():
        assert one["title"].replace("&", "&amp;").replace("'", "&#39;") in text
    assert "http" not in text
    assert "<script" not in text
    ids = re.findall(r' id="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_every_plot_is_told_in_text(figures: dict[str, Any]) -> None:
    text = page(figures)
    plots = re.findall(r'<svg role="img" aria-label="([^"]+)"', text)
    assert len(plots) == 2 * text.count("<figure>") > 0
    assert all(label.endswith(".") for label in plots)


def test_a_bench_without_host_memory_is_a_page_of_the_other_targets(figures: dict[str, Any]) -> None:
    log = figures["logs"]["small"]
    text = page(figures | {"logs": {"small": {"jobs": log["jobs"], "targets": log["targets"]}}})
    assert "GPU count" in text
    assert "Host memory" not in text


def test_a_folder_that_cannot_be_made_is_an_error_that_names_it(figures: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another --out"):
        write_page(figures, tmp_path / "file" / "out")
