"""A forecast that the service is asked for: what is sent, and the answer as a forecast. Needs no torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from crowdrun.api.client import Client
from crowdrun.api.schemas.estimate import EstimateAnswer
from crowdrun.data.errors import ConfigError
from crowdrun.data.forecast import ForecastSettings
from crowdrun.data.task import TrainingOptions
from crowdrun.training.models.table import BUILT_IN


def remote_model(task: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """What the service is told of a model: the name of a built-in one, or a description as it is.

    Raises:
        ConfigError: it is code, which the service does not run, or a file that cannot be read.
    """
    if task in BUILT_IN:
        return {"architecture": task} | ({"options": dict(options)} if options else {})
    if not task.endswith(".json"):
        raise ConfigError(
            f"{task} is code, which the service does not run; name a built-in network or a description (.json), or "
            "leave out --remote"
        )
    try:
        told: dict[str, Any] = json.loads(Path(task).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {task}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{task} is not JSON: {error}") from error
    return told


def ask_service(
    url: str, model: Mapping[str, Any], options: TrainingOptions, how: ForecastSettings, *, depth: int,
    fit: Mapping[str, float] | None,
) -> EstimateAnswer:  # fmt: skip
    """What the service says: what is learned of its cards is its own.

    Raises:
        ServiceError: it cannot be reached, or refuses; says what it said.
        ConfigError: something is asked for that it does not know.
    """
    if how.device != "cuda" or how.bucket_views:
        raise ConfigError("--device and --bucket-views are not known to the service; leave out --remote")
    with Client(url) as client:
        return client.estimate(
            model, batch_size=options.batch_size, optimizer=options.optimizer, precision=how.precision,
            accumulation=how.accumulation, training=how.training, checkpointing=how.checkpointing,
            strategy=how.strategy, world_size=how.world_size, rank=how.rank,
            schedule=how.schedule, micro_batches=how.micro_batches, pipeline_ranks=how.pipeline_ranks,
            depth=min(depth, 8), fit=fit,
        )  # fmt: skip
