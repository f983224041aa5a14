"""The forecasts' features of every measured run, traced once and kept in a file: an hour of one processor for all.

Two batches of a model are traced, the smallest and the largest; those between follow from them (`between.py`), or are
traced too where they do not. The file is one JSON object a line, a model each; a line that a stop cut off is traced
again.
"""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from pathlib import Path
from typing import Any

from crowdrun.data.errors import ConfigError, ForecastError, OutputError
from crowdrun.data.forecast import ForecastSettings
from crowdrun.predictor.evaluation.gpu_memory import timm_models
from crowdrun.predictor.evaluation.gpu_memory.timm_rows import MeasuredRow
from crowdrun.predictor.gpu_memory.between import between
from crowdrun.predictor.gpu_memory.forecast import forecast_of
from crowdrun.predictor.gpu_memory.learned.features import NAMES
from crowdrun.predictor.gpu_memory.step import TracedStep, trace_step

_HOW = ForecastSettings()


@dataclass(frozen=True, kw_only=True)
class TracedModel:
    """One model: its features at each batch, or why there are none."""

    model: str
    family: str
    #: Batch -> features.
    features: Mapping[int, Mapping[str, float]]
    parameters: int = 0
    #: Batches that were traced themselves.
    traced: tuple[int, ...] = ()
    error: str = ""


def trace_rows(
    rows: Sequence[MeasuredRow], cache: Path | None, progress: Callable[[str, float], None]
) -> dict[str, TracedModel]:
    """Model -> what was traced of it, those of the cache without tracing.

    Raises:
        ConfigError: the cache is not one of this version's.
        OutputError: the cache cannot be written.
    """
    known = cached_models(cache)
    wanted = {model: [row.batch for row in of] for model, of in groupby(rows, key=lambda row: row.model)}
    for place, (model, batches) in enumerate(wanted.items()):
        progress(model, place / len(wanted))
        if model not in known or not (known[model].error or known[model].features.keys() >= set(batches)):
            known[model] = trace_model(model, batches)
            if cache:
                _append(cache, known[model])
    return {model: known[model] for model in wanted}


def cached_models(cache: Path | None) -> dict[str, TracedModel]:
    """Model -> what the file has of it; empty where there is no file."""
    return _read(cache) if cache and cache.exists() else {}


def trace_model(model: str, batches: Sequence[int]) -> TracedModel:
    """The model at each batch; what the forecast refuses is kept as its error."""
    family = timm_models.family(model)
    try:
        with warnings.catch_warnings():
            # What timm and torch say of their own old names is no matter of the forecast.
            warnings.simplefilter("ignore")
            steps, traced = _steps(model, sorted(batches))
            features = {batch: forecast_of(step, _HOW).features for batch, step in steps.items()}
    except ForecastError as error:
        return TracedModel(model=model, family=family, features={}, error=str(error))
    parameters = next(iter(steps.values())).parameters
    return TracedModel(model=model, family=family, features=features, parameters=parameters, traced=traced)


def _steps(model: str, batches: Sequence[int]) -> tuple[dict[int, TracedStep], tuple[int, ...]]:
    first, last = batches[0], batches[-1]
    ends = {batch: _traced(model, batch) for batch in {first, last}}
    try:
        inner = {
            batch: between(ends[first], ends[last], Fraction(batch - first, last - first)) for batch in batches[1:-1]
        }
        return ends | inner, tuple(sorted(ends))
    except ForecastError:
        return ends | {batch: _traced(model, batch) for batch in batches[1:-1]}, tuple(batches)


def _traced(model: str, batch: int) -> TracedStep:
    return trace_step(timm_models.program(model, batch), _HOW)


def _append(cache: Path, one: TracedModel) -> None:
    line = {
        "model": one.model, "family": one.family, "parameters": one.parameters,
        "traced": one.traced, "error": one.error,
        "features": {str(batch): [round(row[name], 4) for name in NAMES] for batch, row in one.features.items()},
    }  # fmt: skip
    try:
        with cache.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        raise OutputError(f"cannot write {cache}: {error.strerror}; give --cache another file") from error


def _read(cache: Path) -> dict[str, TracedModel]:
    try:
        text = cache.read_text(encoding="utf-8")
        lines: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines(keepends=True) if line[-1:] == "\n"]
        found = {line["model"]: _model_of(line) for line in lines}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{cache} is no cache of traced models ({error!r}); give --cache another file") from error
    if text and not text.endswith("\n"):
        # What follows must begin on a line of its own.
        cache.write_text(text[: text.rfind("\n") + 1], encoding="utf-8")
    return found


def _model_of(line: Mapping[str, Any]) -> TracedModel:
    features = {int(batch): dict(zip(NAMES, row, strict=True)) for batch, row in line["features"].items()}
    return TracedModel(
        model=line["model"], family=line["family"], features=features, parameters=line["parameters"],
        traced=tuple(line["traced"]), error=line["error"],
    )  # fmt: skip
