"""What was learned of the cards that forecasts are for: the file that the setting `correction` names, or nothing."""

from pathlib import Path

from crowdrun.predictor.gpu_memory.device import UNMEASURED, DeviceModel


def device_model(correction: Path | None) -> DeviceModel:
    """What says the whole card; round figures where nothing was learned. Imports no torch.

    Raises:
        ModelError: the file is missing, or nothing that was learned of a card.
    """
    if correction is None:
        return UNMEASURED
    from crowdrun.predictor.gpu_memory.learned.file import read_device_model

    return read_device_model(correction)
