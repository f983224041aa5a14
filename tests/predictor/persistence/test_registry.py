"""Publishing, verifying, activating, rolling back; and that a kill at any moment leaves a model that loads."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from crowdrun.data.durable import UNFINISHED
from crowdrun.data.errors import ModelError
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import manifest, registry


@pytest.fixture
def models(tmp_path: Path) -> Path:
    return tmp_path / "models"


def files_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_a_published_model_is_current_and_knows_its_id(crowd: Crowd, models: Path) -> None:
    model_id = registry.publish(crowd, models)
    assert registry.current_id(models) == model_id
    assert registry.load_current(models).model_id == model_id
    assert registry.list_models(models) == [model_id]


def test_the_manifest_tells_versions_summary_and_the_digest_of_every_file(crowd: Crowd, models: Path) -> None:
    model_id = registry.publish(crowd, models)
    made = registry.verify(models, model_id)
    assert made.format == manifest.FORMAT
    assert {"python", "crowdrun", "numpy", "scikit-learn", "torch"} <= made.versions.keys()
    assert made.summary == json.loads(json.dumps(dict(crowd.summary)))
    assert sorted(made.files) == sorted(
        path.relative_to(models / model_id).as_posix()
        for path in files_of(models / model_id)
        if path.name != manifest.FILE
    )


def test_no_file_of_a_model_is_a_pickle(crowd: Crowd, models: Path) -> None:
    model_id = registry.publish(crowd, models)
    for file in files_of(models / model_id):
        content = file.read_bytes()
        assert file.suffix not in {".pkl", ".pickle", ".joblib", ".pt", ".pth"}
        # Protocol 2 and later start with \x80 and the protocol (PEP 307); a zip of torch holds a data.pkl.
        assert not (content[:1] == b"\x80" and content[1:2] in b"\x02\x03\x04\x05")
        assert b"data.pkl" not in content


def test_one_byte_changed_in_any_file_is_refused_by_its_name(crowd: Crowd, models: Path) -> None:
    model_id = registry.publish(crowd, models)
    for file in files_of(models / model_id):
        original = file.read_bytes()
        changed = bytearray(original)
        changed[len(changed) // 2] ^= 1
        file.write_bytes(changed)
        with pytest.raises(ModelError, match=file.name):
            registry.load_current(models)
        file.write_bytes(original)
    assert registry.load_current(models).model_id == model_id


def test_a_missing_and_an_added_file_are_refused_by_name(crowd: Crowd, models: Path) -> None:
    model_id = registry.publish(crowd, models)
    added = models / model_id / "added.json"
    added.write_text("{}")
    with pytest.raises(ModelError, match=r"added\.json was added"):
        registry.load_current(models)
    added.unlink()
    (models / model_id / "link.json").symlink_to(models / model_id / manifest.FILE)
    with pytest.raises(ModelError, match=r"link\.json was added"):
        registry.load_current(models)
    (models / model_id / "link.json").unlink()
    for file in files_of(models / model_id):
        content = file.read_bytes()
        file.unlink()
        with pytest.raises(ModelError, match=file.name):
            registry.load_current(models)
        file.write_bytes(content)


def test_a_file_that_became_a_link_is_refused(crowd: Crowd, models: Path, tmp_path: Path) -> None:
    model_id = registry.publish(crowd, models)
    file = next(path for path in files_of(models / model_id) if path.name != manifest.FILE)
    shutil.move(file, tmp_path / "elsewhere")
    file.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="not a plain file"):
        registry.load_current(models)


def test_another_format_version_is_refused_with_advice(crowd: Crowd, models: Path) -> None:
    model_id = registry.publish(crowd, models)
    content = (models / model_id / manifest.FILE).read_bytes().replace(b'"format": 2', b'"format": 99')
    newer = models / f"{model_id.rpartition('-')[0]}-{manifest.manifest_digits(content)}"
    (models / model_id).rename(newer)
    (newer / manifest.FILE).write_bytes(content)
    with pytest.raises(ModelError, match=r"format 99, this crowdrun reads 2; .*retrain"):
        registry.load(models, newer.name)


def test_without_a_model_the_advice_is_to_ingest_and_retrain(models: Path) -> None:
    with pytest.raises(ModelError, match=r"crowdrun ingest LOG.*crowdrun retrain"):
        registry.load_current(models)


@pytest.mark.parametrize("content", [b"", b"../../etc\n", b"\xff\xfe", b"20200101T000000.000000Z-000000000000\n"])
def test_a_damaged_current_raises_and_never_falls_back_in_silence(crowd: Crowd, models: Path, content: bytes) -> None:
    registry.publish(crowd, models)
    (models / registry.CURRENT).write_bytes(content)
    with pytest.raises(ModelError, match="crowdrun models activate"):
        registry.load_current(models)


def test_activate_and_roll_back_go_by_name_and_refuse_what_is_not_there(crowd: Crowd, models: Path) -> None:
    first, second = registry.publish(crowd, models), registry.publish(crowd, models)
    assert registry.roll_back(models) == first
    assert registry.load_current(models).model_id == first
    with pytest.raises(ModelError, match="no model that is still there was current before"):
        registry.roll_back(models)
    registry.activate(models, second)
    assert registry.current_id(models) == second
    with pytest.raises(ModelError, match=f"'nope' is not in .*{first}, {second}"):
        registry.activate(models, "nope")


def test_a_damaged_model_cannot_be_activated(crowd: Crowd, models: Path) -> None:
    first, second = registry.publish(crowd, models), registry.publish(crowd, models)
    (models / first / "more").write_text("x")
    with pytest.raises(ModelError, match="more was added"):
        registry.roll_back(models)
    assert registry.current_id(models) == second


def test_prune_keeps_the_newest_and_the_current_and_sweeps_old_leftovers(crowd: Crowd, models: Path) -> None:
    ids = [registry.publish(crowd, models) for _ in range(4)]
    registry.activate(models, ids[0])
    old, new = models / f"{UNFINISHED}old", models / f"{UNFINISHED}new"
    for folder in (old, new):
        folder.mkdir()
    os.utime(old, (0, time.time() - 2 * registry.LEFTOVER_AGE_S))
    assert registry.prune(models, keep=1) == ids[1:3]
    assert registry.list_models(models) == [ids[0], ids[3]]
    assert (old.exists(), new.exists()) == (False, True)


class Unwritable:
    """A crowd whose files cannot be written to the end."""

    def __init__(self, crowd: Crowd) -> None:
        self.summary = crowd.summary

    def save(self, folder: Path) -> None:
        (folder / "half").write_text("half")
        raise OSError(28, "No space left on device", str(folder / "half"))


def test_a_full_disk_while_publishing_leaves_the_current_model(crowd: Crowd, models: Path) -> None:
    first = registry.publish(crowd, models)
    with pytest.raises(ModelError, match="No space left on device; the current model is as it was"):
        registry.publish(Unwritable(crowd), models)
    assert registry.load_current(models).model_id == first
    assert sorted(path.name for path in models.iterdir()) == sorted([first, registry.CURRENT])


KILL_WHILE_PUBLISHING = """
import os, shutil, signal, sys, time
from pathlib import Path
from crowdrun.predictor.persistence import registry

saved, models = Path(sys.argv[1]), Path(sys.argv[2])

class Saved:
    summary = {"jobs": 1}
    def save(self, folder):
        shutil.copytree(saved, folder, dirs_exist_ok=True)

# Moments spread over three publications, whose length depends on the machine.
start = time.monotonic()
registry.publish(Saved(), models)
span_s = 3 * (time.monotonic() - start)
for attempt in range(40):
    child = os.fork()
    if not child:
        while True:
            registry.publish(Saved(), models)
            registry.prune(models, keep=3)
    time.sleep(span_s * (attempt + 1) / 40)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    registry.verify(models, registry.current_id(models))
    for published in registry.list_models(models):
        registry.verify(models, published)
"""


def test_killed_at_any_moment_of_publishing_the_current_model_loads(crowd: Crowd, models: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    crowd.save(saved)
    first = registry.publish(crowd, models)
    arguments = [sys.executable, "-c", KILL_WHILE_PUBLISHING, str(saved), str(models)]
    finished = subprocess.run(arguments, capture_output=True, text=True)
    assert finished.returncode == 0, finished.stderr
    assert registry.current_id(models) != first
    assert registry.load_current(models).model_id == registry.current_id(models)
