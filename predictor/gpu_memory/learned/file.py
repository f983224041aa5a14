"""What was learned, in a file: the correction of many measured steps (arrays), or the line of a card (JSON)."""

import json
from dataclasses import asdict
from pathlib import Path

from crowdrun.data.durable import write_atomically
from crowdrun.data.errors import ModelError, OutputError
from crowdrun.predictor.gpu_memory.device import DeviceModel, DeviceOverhead
from crowdrun.predictor.gpu_memory.learned.correction import Correction


def read_device_model(file: Path) -> DeviceModel:
    """Of what `crowdrun bench gpu-memory` wrote: `--save FILE`, or gpu-memory-CARD.json; told apart by what is in it.

    Raises:
        ModelError: it is neither.
    """
    return _card(file) if _is_json(file) else Correction.load(file)


def write_device_model(model: Correction | DeviceOverhead, file: Path) -> None:
    """For `read_device_model`; whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    if isinstance(model, Correction):
        model.save(file)
        return
    try:
        write_atomically(file.absolute(), json.dumps({"overhead": asdict(model)}, indent=2).encode())
    except OSError as error:
        raise OutputError(f"cannot write {file}: {error.strerror}; choose another place") from error


def _is_json(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(64).lstrip()[:1] == b"{"
    except OSError:
        return False


def _card(file: Path) -> DeviceOverhead:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))["overhead"]
        margins = tuple((float(risk), float(factor)) for risk, factor in found["margins"])
        return DeviceOverhead(
            slope=float(found["slope"]), offset_mb=float(found["offset_mb"]), basis=str(found["basis"]), margins=margins
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{file} is not what a card was measured by ({error!r}); measure it: `crowdrun bench gpu-memory`"
        ) from error
