"""Which measured runs are believed: by the measurements alone."""

import lzma
from pathlib import Path

import pytest

from crowdrun.data.errors import LogError
from crowdrun.predictor.evaluation.gpu_memory.timm_rows import REASONS, MeasuredRow, read_rows


def written(folder: Path, figures: dict[int, float]) -> list[MeasuredRow]:
    file = folder / "table.csv.xz"
    lines = ["model,batch_size,max_gpu_mem_mib", *(f"net,{batch},{mb}" for batch, mb in figures.items())]
    file.write_bytes(lzma.compress("\n".join(lines).encode()))
    return read_rows(file)


def left_out(folder: Path, *figures: float) -> list[str]:
    return [row.left_out for row in written(folder, dict(zip((8, 16, 32, 64, 128), figures, strict=True)))]


def test_runs_that_rise_with_the_batch_are_kept(tmp_path: Path) -> None:
    assert left_out(tmp_path, 2000, 2500, 3500, 5500, 9500) == [""] * 5


def test_a_full_card_and_all_larger_batches_are_left_out(tmp_path: Path) -> None:
    assert left_out(tmp_path, 9000, 17000, 33000, 39800, 5000) == ["", "", "", "full", "after_full"]


def test_a_crash_below_those_that_agree_is_left_out(tmp_path: Path) -> None:
    assert left_out(tmp_path, 2000, 1900, 3500, 5500, 2100) == ["", "falls", "", "", "falls"]


def test_a_peak_above_those_that_agree_is_kept_and_so_are_they(tmp_path: Path) -> None:
    assert left_out(tmp_path, 2000, 8000, 3500, 5500, 9500) == [""] * 5


def test_the_same_figure_twice_is_no_measurement(tmp_path: Path) -> None:
    assert left_out(tmp_path, 2300, 2300, 3500, 2300, 9500) == ["repeated", "repeated", "", "repeated", ""]


def test_a_run_on_the_way_beyond_the_card_is_left_out(tmp_path: Path) -> None:
    assert left_out(tmp_path, 6000, 11000, 21000, 38000, 39000) == ["", "", "", "beyond_card", "after_full"]


def test_every_reason_is_said_in_words(tmp_path: Path) -> None:
    found = {*left_out(tmp_path, 6000, 11000, 21000, 38000, 39000), *left_out(tmp_path, 9, 9, 8, 39900, 1)} - {""}
    assert found <= REASONS.keys()


def test_a_file_that_is_no_such_table_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.csv.xz"
    file.write_bytes(lzma.compress(b"name,size\na,1\n"))
    with pytest.raises(LogError, match="model, batch_size, max_gpu_mem_mib"):
        read_rows(file)
    with pytest.raises(LogError, match="cannot read"):
        read_rows(tmp_path / "none.csv.xz")
