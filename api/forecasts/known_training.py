"""A recommendation together with the forecast of the network that the job trains, where it is a well-known one."""

import math
from dataclasses import replace

from crowdrun.api.forecasts.training_command import TrainingCommand, training_command
from crowdrun.data.job import JobRequest, Recommendation
from crowdrun.data.network_forecast import NetworkForecast
from crowdrun.predictor.explanation.words import memory
from crowdrun.predictor.gpu_memory.device import UNMEASURED, DeviceModel
from crowdrun.predictor.gpu_memory.known import network_forecast

GPU_MEMORY = "gpu_mem_mb"
#: What a network takes, by what it is trained on, for a sentence.
_SAMPLES = {"images": "images of {size} pixels", "classification": "texts of {size} tokens"}
_TEXTS = "texts of {size} tokens"


def with_forecast(
    recommendation: Recommendation, script: str | None = None, overhead: DeviceModel = UNMEASURED
) -> Recommendation:
    """The same, with the forecast and a sentence where script, command or fields of the request name the network."""
    forecast = forecast_of(recommendation.request, script, overhead)
    if forecast is None:
        return recommendation
    return replace(
        recommendation,
        network_forecast=forecast,
        # It stands in for what past jobs do not tell; the sentence says so.
        abstained={target: why for target, why in recommendation.abstained.items() if target != GPU_MEMORY},
        reasons=(*recommendation.reasons, forecast_sentence(forecast, recommendation)),
    )


def forecast_of(
    request: JobRequest, script: str | None = None, overhead: DeviceModel = UNMEASURED
) -> NetworkForecast | None:
    """What the network needs of one GPU; None where none is named, or the table does not know it."""
    if request.req_gpus == 0:
        # It trains on the CPU.
        return None
    gpus = max(1, math.ceil((request.req_gpus or 1) / (request.req_nodes or 1)))
    for text in (script, request.command):
        if told := training_command(text or "", gpus):
            return _forecast(told, overhead)
    if request.model is None or not request.batch_size:
        return None
    # The log's batch size is that of all GPUs (data/columns.py).
    everywhere = max(1, request.req_gpus or 1)
    return _forecast(
        TrainingCommand(
            network=request.model, micro_batch=math.ceil(request.batch_size / everywhere), gpus=everywhere,
            precision=request.precision or "fp32", optimizer=request.optimizer,
        ),
        overhead,
    )  # fmt: skip


def _forecast(told: TrainingCommand, overhead: DeviceModel) -> NetworkForecast | None:
    return network_forecast(
        told.network, micro_batch=told.micro_batch, precision=told.precision, optimizer=told.optimizer, size=told.size,
        task=told.task, gpus=told.gpus, overhead=overhead,
    )  # fmt: skip


def forecast_sentence(forecast: NetworkForecast, recommendation: Recommendation) -> str:
    """What it needs, of what, and what past jobs say beside it."""
    samples = _SAMPLES.get(forecast.task, _TEXTS).format(size=forecast.size)
    where = f"each of {forecast.gpus} GPUs" if forecast.gpus > 1 else "one GPU"
    unmeasured = forecast.device_basis == UNMEASURED.basis
    said = (
        f"GPU memory: {forecast.network} with {forecast.micro_batch} {samples} on {where} in {forecast.precision} "
        f"({forecast.optimizer}) needs {memory(forecast.device_mb)} by a forecast of its training step"
        f"{', which no GPU has measured' if unmeasured else ''}"
    )
    known = recommendation.predictions.get(GPU_MEMORY)
    if known is None:
        return f"{said}; past jobs tell nothing of it."
    return f"{said}; by past jobs {memory(known.safe)} is safe."
