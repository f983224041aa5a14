"""One target's model on disk: a folder with the members, the history, and the records of weights and calibration."""

import json
from pathlib import Path

import numpy as np

from crowdrun.data.errors import ConfigError, ModelError
from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.persistence.families_file import load_families, save_families
from crowdrun.predictor.persistence.history_file import load_history, save_history
from crowdrun.predictor.persistence.items_file import load_items, save_items
from crowdrun.predictor.sizing import RiskBudget
from crowdrun.predictor.target import TARGETS_BY_NAME
from crowdrun.predictor.target_model import TargetModel
from crowdrun.predictor.target_settings import TargetSettings

RECORD_FILE = "record.npz"
NAMES_FILE = "target.json"


def save_target(model: TargetModel, folder: Path) -> None:
    """Write the model into a folder that is made here."""
    folder.mkdir()
    # So that what is loaded answers as this model does.
    model.calibration.refresh()
    names = {"target": model.target.name, "seed": model.seed, "settings": model.settings.to_json()}
    (folder / NAMES_FILE).write_text(json.dumps(names), "utf-8")
    save_history(model.history, folder)
    save_items(model.items, folder)
    save_families(model.families, folder)
    np.savez_compressed(
        folder / RECORD_FILE,
        loss=model.weights.loss,
        count=model.weights.count,
        scores=np.array(model.calibration.scores, dtype=np.float64),
        groups=np.array(model.calibration.groups, dtype=np.int64),
        risk_ratio=np.array(model.budget.ratio),
        longest_log2=np.array(model.longest_log2),
    )
    for name, learner in model.learners.items():
        (folder / name).mkdir()
        learner.save(folder / name)


def load_target(folder: Path) -> TargetModel:
    """The model that `save_target` wrote.

    Raises:
        ModelError: a file is missing, cannot be read, or names a target or member that is not known.
    """
    try:
        names = json.loads((folder / NAMES_FILE).read_text("utf-8"))
        target, settings = TARGETS_BY_NAME[names["target"]], TargetSettings.from_json(names["settings"])
    except (OSError, ValueError, KeyError, ConfigError) as error:
        raise ModelError(f"cannot read {folder / NAMES_FILE}: {error}; publish the model anew") from error
    record = load_arrays(folder / RECORD_FILE)
    model = TargetModel(
        target=target,
        seed=int(names["seed"]),
        settings=settings,
        learners={name: LEARNERS[name].load(folder / name, settings.of(name)) for name in settings.members},
        history=load_history(folder),
        items=load_items(folder),
        budget=RiskBudget(ratio=float(record["risk_ratio"])),
        longest_log2=float(record["longest_log2"]),
    )
    load_families(model.families, folder)
    model.weights.loss, model.weights.count = record["loss"].astype(np.float64), record["count"].astype(np.float64)
    model.calibration.scores, model.calibration.groups = record["scores"].tolist(), record["groups"].tolist()
    return model
