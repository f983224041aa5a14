"""Forecasts of well-known networks from a table, in microseconds and without torch.

The table, `architectures.json`, is made by `tabulate.py` from traces: for each network, precision and optimiser a line
over the batch size, max(floor, base + batch x per sample), at one size of image or text. Another size counts as more or
fewer samples: by area, or by length.

>>> known = network_forecast("resnet50", micro_batch=256, precision="bf16", optimizer="sgd")
>>> known.network, known.size, 10_000 < known.allocated_mb < 12_000
('resnet50', 224, True)
>>> network_forecast("my-own-network", micro_batch=256) is None
True
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from crowdrun.data.network_forecast import NetworkForecast
from crowdrun.predictor.gpu_memory.device import UNMEASURED, DeviceModel

TABLE = "architectures.json"
#: Another name of the same network, or of one with another vocabulary -> its name in the table.
ALIASES: Mapping[str, str] = {
    "bertbasecased": "bertbaseuncased", "bertlargecased": "bertlargeuncased",
    "distilbertbasecased": "distilbertbaseuncased", "deitbasepatch16224": "vitbasepatch16224",
    "deitsmallpatch16224": "vitsmallpatch16224", "llama27b": "llama27bhf", "swintinypatch4window7224": "swint",
}  # fmt: skip
#: What each keeps for a parameter decides: one number (a momentum), or two.
_ONE_STATE = ("sgd", "momentum", "nag", "rmsprop", "nesterov", "lion")
#: Images are trained with sgd where nothing is said, texts with adamw, as the scripts of the libraries do.
_USUAL = {"images": "sgd"}


def plain(name: str) -> str:
    """`google/bert_base-Uncased` -> `bertbaseuncased`: without who published it, and how it is written."""
    last = name.rstrip("/").rpartition("/")[2].partition(".")[0] if "/" in name else name.partition(".")[0]
    return "".join(letter for letter in last.lower() if letter.isalnum())


@cache
def _table() -> tuple[Mapping[str, Mapping[str, Any]], Mapping[str, tuple[str, ...]]]:
    """Key -> entry, and plain name -> keys."""
    found = json.loads(files("crowdrun.predictor.gpu_memory").joinpath(TABLE).read_text("utf-8"))["networks"]
    names: dict[str, list[str]] = {}
    for key in found:
        names.setdefault(plain(key.partition(":")[0]), []).append(key)
    return found, {name: tuple(keys) for name, keys in names.items()}


def is_known(name: str) -> bool:
    """Whether the table has it."""
    word = plain(name)
    return ALIASES.get(word, word) in _table()[1]


def known_names() -> list[str]:
    """The names of the table."""
    return sorted({key.partition(":")[0] for key in _table()[0]})


def network_forecast(
    name: str, *, micro_batch: int, precision: str = "fp32", optimizer: str | None = None, size: int | None = None,
    task: str | None = None, gpus: int = 1, overhead: DeviceModel = UNMEASURED,
) -> NetworkForecast | None:  # fmt: skip
    """What one GPU holds; None where the table does not have the network.

    Args:
        name: as people and scripts write it.
        micro_batch: samples that one GPU takes at once.
        precision: fp32, or any name of a half precision under autocast.
        optimizer: any name; None: the usual one.
        size: side of an image in pixels, or length of a text in tokens; None: the table's.
        task: `classification` or `language`, for a network that has both.
        gpus: that train together, data-parallel.
        overhead: what the card holds beside torch's allocator.
    """
    entries, names = _table()
    word = plain(name)
    keys = names.get(ALIASES.get(word, word), ())
    key = next((one for one in keys if task and one.endswith(f":{task}")), keys[0] if keys else None)
    if key is None or micro_batch < 1:
        return None
    entry = entries[key]
    usual = _USUAL.get(entry["task"], "adamw")
    half = "bf16" if precision.lower() not in {"fp32", "float32", "32", "fp64", "no"} else "fp32"
    row = _row(entry["rows"], half, _kind_of(optimizer, usual))
    if row is None:
        return None
    chosen, figures = row
    samples = micro_batch * _worth(entry["task"], size, entry["size"])
    # DistributedDataParallel holds the gradients once more, in its buckets.
    buckets = figures["parameters_m"] * 1e6 * 4 / 2**20 if gpus > 1 else 0.0
    allocated, reserved = (_on_line(figures[name], samples) + buckets for name in ("allocated_mb", "reserved_mb"))
    return NetworkForecast(
        network=key.partition(":")[0], library=entry["library"], task=entry["task"], micro_batch=micro_batch,
        size=size or entry["size"], gpus=gpus, precision=half, optimizer=chosen, allocated_mb=allocated,
        reserved_mb=reserved, device_mb=overhead.whole_card_mb({"reserved": reserved}), device_basis=overhead.basis,
        off=max(figures["off"], figures["off_at_other_size"] if size not in (None, entry["size"]) else 0.0),
    )  # fmt: skip


def _row(rows: Mapping[str, Any], precision: str, optimizer: str) -> tuple[str, Mapping[str, Any]] | None:
    for kind in (optimizer, "adamw"):
        if f"{precision}:{kind}" in rows:
            return kind, rows[f"{precision}:{kind}"]
    return None


def _kind_of(optimizer: str | None, usual: str) -> str:
    if optimizer is None:
        return usual
    return "sgd" if any(word in optimizer.lower() for word in _ONE_STATE) else "adamw"


def _worth(task: str, size: int | None, usual: int) -> float:
    """How many samples of the usual size one of another size is worth."""
    ratio = (size or usual) / usual
    return ratio**2 if task == "images" else ratio


def _on_line(line: tuple[float, float, float], samples: float) -> float:
    floor, base, per_sample = line
    return max(floor, base + per_sample * samples)
