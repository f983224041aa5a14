"""What was learned, from a file: the correction of many measured steps, or the line of one measured card."""

import json
from pathlib import Path

from crowdrun.data.errors import ModelError
from crowdrun.predictor.gpu_memory.device import DeviceModel, DeviceOverhead
from crowdrun.predictor.gpu_memory.learned.correction import Correction


def read_device_model(file: Path) -> DeviceModel:
    """Of what `crowdrun bench gpu-memory` wrote: `--save FILE`, or gpu-memory-CARD.json.

    Raises:
        ModelError: it is neither.
    """
    return _card(file) if file.suffix == ".json" else Correction.load(file)


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
