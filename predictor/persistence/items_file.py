"""Items on disk, as JSON: names once, and numbers that point at them."""

import json
import math
from pathlib import Path

from crowdrun.data.errors import ModelError
from crowdrun.predictor.items import FamilyRecord, Items

ITEMS_FILE = "items.json"


def save_items(items: Items, folder: Path) -> None:
    """Write ITEMS_FILE into the folder."""
    families = {family: place for place, family in enumerate(items.families)}
    names = {item: place for place, item in enumerate(items.runs)}
    content = {
        "families": [
            {
                "family": family,
                "jobs": record.jobs,
                "mean_run": record.mean_run,
                # An item that was forgotten tells nothing of its size any more.
                "values": [[names[item], value] for item, value in record.values if item in names],
            }
            for family, record in items.families.items()
        ],
        "items": [
            {"item": item, "runs": [[families[family], run] for family, run in runs.items()]}
            for item, runs in items.runs.items()
        ],
    }
    (folder / ITEMS_FILE).write_text(json.dumps(content, separators=(",", ":"), allow_nan=False), "utf-8")


def load_items(folder: Path) -> Items:
    """The items that `save_items` wrote.

    Raises:
        ModelError: the file is missing or cannot be read.
    """
    items = Items()
    try:
        content = json.loads((folder / ITEMS_FILE).read_text("utf-8"))
        families = [tuple(one["family"]) for one in content["families"]]
        names = [tuple(one["item"]) for one in content["items"]]
        for name, one in zip(names, content["items"], strict=True):
            items.runs[name] = {families[place]: float(run) for place, run in one["runs"]}
        for family, one in zip(families, content["families"], strict=True):
            record = items.families[family] = FamilyRecord(jobs=int(one["jobs"]), mean_run=float(one["mean_run"]))
            record.values.extend((names[place], float(value)) for place, value in one["values"])
            if not math.isfinite(record.mean_run):
                raise ValueError(f"the mean run time of {family} is {record.mean_run}")
    except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
        raise ModelError(f"cannot read {folder / ITEMS_FILE}: {error}; publish the model anew") from error
    return items
