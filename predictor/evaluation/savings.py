"""What a way to ask for memory would have saved beside the users' own requests: in all, by whom, and over time."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.stretches import stretch_of
from crowdrun.predictor.evaluation.bootstrap import Resamples
from crowdrun.predictor.evaluation.metrics import Attempts
from crowdrun.predictor.quantiles import Array

#: Users, accounts and partitions that are told one by one, those whose requests waste most.
MOST_NAMES = 100
#: Whose waste is the measure.
REQUEST = "request"


def savings(
    ways: Mapping[str, Attempts], names: Mapping[str, NDArray[np.object_]], end_time: Array, resamples: Resamples
) -> dict[str, Any]:
    """ways: name -> attempts at k jobs, REQUEST among them. names: column -> (k,) texts. end_time: (k,) s."""
    request = ways[REQUEST]
    return {
        "jobs": len(end_time),
        "resampled": resamples.unit,
        "ways": {
            name: {
                "waste_gbh": float(way.waste_gbh.sum()),
                "first_attempt_failures": asdict(resamples.mean(way.failed)),
                "of_request": asdict(resamples.ratio(way.waste_gbh, request.waste_gbh)),
            }
            for name, way in ways.items()
        },
        "by": {column: _by(ways, values) for column, values in names.items()},
        "over_time": _over_time(ways, end_time),
    }


def _by(ways: Mapping[str, Attempts], values: NDArray[np.object_]) -> list[dict[str, Any]]:
    """One row a name, that whose requests waste most first."""
    texts = list(dict.fromkeys(values.tolist()))
    place = {text: number for number, text in enumerate(texts)}
    group = np.array([place[text] for text in values.tolist()], dtype=np.intp)
    wasted = {name: np.bincount(group, way.waste_gbh, len(texts)) for name, way in ways.items()}
    jobs = np.bincount(group, minlength=len(texts))
    return [
        {"name": texts[row], "jobs": int(jobs[row])} | {name: float(sums[row]) for name, sums in wasted.items()}
        for row in np.argsort(-wasted[REQUEST], kind="stable")[:MOST_NAMES].tolist()
    ]


def _over_time(ways: Mapping[str, Attempts], end_time: Array) -> list[dict[str, Any]]:
    """One row a stretch of time in which jobs ended, oldest first."""
    if not len(end_time):
        return []
    stretch_s = stretch_of(float(end_time.min()), float(end_time.max()))
    starts, group = np.unique(end_time // stretch_s * stretch_s, return_inverse=True)
    wasted = {name: np.bincount(group, way.waste_gbh, len(starts)) for name, way in ways.items()}
    return [
        {"start": int(start)} | {name: float(sums[row]) for name, sums in wasted.items()}
        for row, start in enumerate(starts.tolist())
    ]
