"""Which folders are checkpoints, with what a kill at any moment can leave."""

from pathlib import Path

import pytest

from crowdrun.training.checkpoints.folder import (
    MARKER_FILE,
    Marker,
    clean,
    commit,
    committed,
    folder_of,
    newest,
    prune,
    read_marker,
)


def saved(checkpoints: Path, step: int) -> Path:
    folder = folder_of(checkpoints, step)
    folder.mkdir(parents=True)
    (folder / "__0_0.distcp").write_bytes(b"tensors")
    commit(folder, Marker(position={"step": step}, world_size=1, sums=[[0, 0.1]], training={}, decided={}, size=7))
    return folder


def test_the_newest_whole_one_is_found_and_one_without_a_marker_never(tmp_path: Path) -> None:
    saved(tmp_path, 9)
    saved(tmp_path, 10)
    half = folder_of(tmp_path, 11)
    half.mkdir()
    (half / "__0_0.distcp").write_bytes(b"half")
    found = newest(tmp_path)
    assert found
    assert (found[0].name, found[1].step, found[1].sums) == ("step-00000010", 10, [[0, 0.1]])
    assert clean(tmp_path) == [half]
    assert [folder.name for folder in tmp_path.iterdir() if folder == half] == []


@pytest.mark.parametrize("content", ["", '{"position": {', "[]", '{"step": 3}'])
def test_a_marker_that_is_no_marker_makes_no_checkpoint(tmp_path: Path, content: str) -> None:
    folder = saved(tmp_path, 3)
    (folder / MARKER_FILE).write_text(content)
    assert read_marker(folder) is None
    assert committed(tmp_path) == []


def test_only_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 5, 20, 100):
        saved(tmp_path, step)
    prune(tmp_path, keep=2)
    assert [folder.name for folder in committed(tmp_path)] == ["step-00000100", "step-00000020"]
    assert len(list(tmp_path.iterdir())) == 2


def test_a_run_without_checkpoints_has_none(tmp_path: Path) -> None:
    assert newest(tmp_path / "checkpoints") is None
    assert clean(tmp_path / "checkpoints") == []
