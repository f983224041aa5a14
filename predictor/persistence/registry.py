"""The models folder: published crowds, which of them is current, publishing and rolling back.

    models/
        20261104T101500.123456Z-0d4f2c9a71be/   manifest.json and the crowd's files
        current                                 the id of the one in use, and those that were before it, newest first

A model is written under another name, synced, and renamed; only then is `current` replaced, by a rename too. So a
kill at any moment leaves the model that was current before, or the new one, whole. `current` holds what came before in
the same file, so that no kill can part the two.
"""

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from crowdrun.data.durable import UNFINISHED, sync, sync_tree, unfinished_name, write_atomically
from crowdrun.data.errors import ModelError
from crowdrun.predictor.crowd import FIGURES_FILE, Crowd
from crowdrun.predictor.persistence import manifest
from crowdrun.predictor.persistence.manifest import Manifest

CURRENT = "current"
#: What a killed publication left is swept away when it is older than any publication takes.
LEFTOVER_AGE_S = 3600.0
#: Ids that `current` holds, itself included.
MOST_REMEMBERED = 50


class Publishable(Protocol):
    """What can be published: a trained crowd."""

    @property
    def summary(self) -> Mapping[str, Any]:
        """Data range, row counts, members, figures; can be written as JSON."""

    def save(self, folder: Path) -> None:
        """Write its files into an existing, empty folder."""


def publish(crowd: Publishable, models_dir: Path, *, store_position: int | None = None) -> str:
    """Write a model, make it current, and return its id.

    `store_position` is where the job history stood when it was read for training; a service learns on from there.

    Raises:
        ModelError: the folder cannot be written; the current model stays.
    """
    with _writing(models_dir):
        models_dir.mkdir(parents=True, exist_ok=True)
        temporary = unfinished_name(models_dir)
        temporary.mkdir()
        try:
            model_id = _write(crowd, temporary, store_position)
            temporary.rename(models_dir / model_id)
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        sync(models_dir)
        _switch(models_dir, [model_id, *_trail(models_dir)])
    return model_id


def _write(crowd: Publishable, folder: Path, store_position: int | None) -> str:
    made = datetime.now(UTC)
    crowd.save(folder)
    made_of = Manifest.of(folder, made=made.isoformat(), summary=crowd.summary, store_position=store_position)
    content = made_of.to_bytes()
    (folder / manifest.FILE).write_bytes(content)
    sync_tree(folder)
    return f"{made:%Y%m%dT%H%M%S.%fZ}-{manifest.manifest_digits(content)}"


def list_models(models_dir: Path) -> list[str]:
    """The ids of all published models, oldest first."""
    if not models_dir.is_dir():
        return []
    folders = (path for path in models_dir.iterdir() if path.is_dir() and not path.name.startswith(UNFINISHED))
    return sorted(path.name for path in folders)


def current_id(models_dir: Path) -> str:
    """The id of the model in use.

    Raises:
        ModelError: nothing is published, or `current` names no published model.
    """
    file = models_dir / CURRENT
    try:
        model_id = file.read_text("utf-8").partition("\n")[0].strip()
    except FileNotFoundError:
        advice = "run 'crowdrun ingest LOG' and then 'crowdrun retrain'"
        if list_models(models_dir):
            advice = "choose one of 'crowdrun models list' with 'crowdrun models activate ID'"
        raise ModelError(f"no model is current in {models_dir}; {advice}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"cannot read {file}: {error}; {manifest.ADVICE}") from error
    if model_id not in list_models(models_dir):
        raise ModelError(f"{file} names {model_id[:80]!r}, which is not there; {manifest.ADVICE}")
    return model_id


def describe(models_dir: Path, model_id: str) -> Manifest:
    """The manifest of a model; its files are not looked at.

    Raises:
        ModelError: there is no such model, or its manifest was changed.
    """
    return manifest.read(_folder(models_dir, model_id))


def read_figures(models_dir: Path, model_id: str) -> Mapping[str, Any]:
    """Target -> how good a model was in its rehearsal (`evaluation/model_figures.py`); empty where nothing was kept.

    Raises:
        ModelError: there is no such model, or what was kept cannot be read.
    """
    file = _folder(models_dir, model_id) / FIGURES_FILE
    try:
        figures: Mapping[str, Any] = json.loads(file.read_text("utf-8")) if file.exists() else {}
    except (OSError, ValueError) as error:
        raise ModelError(f"cannot read {file}: {error}; {manifest.ADVICE}") from error
    return figures


def current_since(models_dir: Path) -> float | None:
    """When another model became current last, UTC epoch seconds; None where none is."""
    try:
        return (models_dir / CURRENT).stat().st_mtime
    except OSError:
        return None


def verify(models_dir: Path, model_id: str) -> Manifest:
    """The manifest of a model, after every file of it was compared with it.

    Raises:
        ModelError: there is no such model, or a file of it is missing, was added or was changed.
    """
    return manifest.verify(_folder(models_dir, model_id))


def load(models_dir: Path, model_id: str) -> Crowd:
    """The crowd of one model, verified, with its `model_id` set.

    Raises:
        ModelError: as `verify`, or the crowd's files cannot be read.
    """
    verify(models_dir, model_id)
    crowd = Crowd.load(models_dir / model_id)
    crowd.model_id = model_id
    return crowd


def load_current(models_dir: Path) -> Crowd:
    """The crowd in use. It never falls back to another one in silence: a damaged model raises, with advice.

    Raises:
        ModelError: nothing is published, or the current model is damaged.
    """
    return load(models_dir, current_id(models_dir))


def activate(models_dir: Path, model_id: str) -> None:
    """Make a published model the current one, after it was verified.

    Raises:
        ModelError: there is no such model, or it is damaged; the current model stays.
    """
    verify(models_dir, model_id)
    with _writing(models_dir):
        _switch(models_dir, [model_id, *_trail(models_dir)])


def roll_back(models_dir: Path) -> str:
    """Go back to the model that was current before this one, published or activated, and return its id.

    Raises:
        ModelError: there is none, or it is damaged; the current model stays.
    """
    before = earlier_ids(models_dir)
    if not before:
        raise ModelError(
            f"no model that is still there was current before {current_id(models_dir)}; choose one of "
            "'crowdrun models list' with 'crowdrun models activate ID'"
        )
    verify(models_dir, before[0])
    trail = _trail(models_dir)
    with _writing(models_dir):
        # Also what comes again further back: a model that was activated twice was current twice.
        _switch(models_dir, trail[trail.index(before[0], 1) :])
    return before[0]


def earlier_ids(models_dir: Path) -> list[str]:
    """Models that are still there and were current before this one, newest first, each once."""
    known, trail = set(list_models(models_dir)), _trail(models_dir)
    return [model_id for model_id in dict.fromkeys(trail) if model_id in known and model_id != trail[0]]


def good_id(models_dir: Path, complain: Callable[[str], None]) -> str:
    """The current model if it is whole, else the last one before it that is; what is wrong is told to `complain`.

    Raises:
        ModelError: nothing is published, or none of them is whole.
    """
    current = current_id(models_dir)
    try:
        verify(models_dir, current)
    except ModelError as error:
        for model_id in earlier_ids(models_dir):
            if _is_whole(models_dir, model_id):
                complain(f"{error}. Model {model_id}, which was current before, answers meanwhile")
                return model_id
        raise
    return current


def prune(models_dir: Path, *, keep: int) -> list[str]:
    """Remove all but the newest `keep` models and the current one, and return the ids of those removed."""
    spared = {current_id(models_dir), *list_models(models_dir)[::-1][:keep]}
    removed = [model_id for model_id in list_models(models_dir) if model_id not in spared]
    with _writing(models_dir):
        for model_id in removed:
            # Renamed first, so that a kill in the middle leaves no model that lacks files.
            (models_dir / model_id).rename(doomed := unfinished_name(models_dir))
            shutil.rmtree(doomed)
        for path in models_dir.glob(f"{UNFINISHED}*"):
            if time.time() - path.lstat().st_mtime > LEFTOVER_AGE_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    return removed


def _trail(models_dir: Path) -> list[str]:
    """What `current` holds; nothing where it cannot be read, since it is about to be replaced or complained of."""
    try:
        return (models_dir / CURRENT).read_text("utf-8").split()
    except (OSError, UnicodeDecodeError):
        return []


def _switch(models_dir: Path, trail: Sequence[str]) -> None:
    """Replace `current`; a model that comes twice in a row is named once."""
    named = [model_id for place, model_id in enumerate(trail) if not place or model_id != trail[place - 1]]
    write_atomically(models_dir / CURRENT, "".join(f"{model_id}\n" for model_id in named[:MOST_REMEMBERED]).encode())


def _is_whole(models_dir: Path, model_id: str) -> bool:
    try:
        verify(models_dir, model_id)
    except ModelError:
        return False
    return True


def _folder(models_dir: Path, model_id: str) -> Path:
    known = list_models(models_dir)
    if model_id not in known:
        raise ModelError(f"model {model_id!r} is not in {models_dir}; there are: {', '.join(known) or 'none'}")
    return models_dir / model_id


@contextmanager
def _writing(models_dir: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        file = error.filename or models_dir
        raise ModelError(f"cannot write {file}: {error.strerror}; the current model is as it was") from error
