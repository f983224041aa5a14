"""How far off a forecast is of the runs of a place: each task is judged by what the runs of the others taught."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from crowdrun.predictor.evaluation.gpu_memory.judging import FOLDS, figures
from crowdrun.predictor.gpu_memory.learned.learning import MeasuredStep, folds, learn_what_can_be


def judge_own(steps: Sequence[MeasuredStep], risk: float) -> dict[str, Any]:
    """The figures of `judging.py` for all steps; where all are of one task, its runs are left out in turns instead.

    Raises:
        NotEnoughDataError: what is left is too little to learn from.
    """
    families = [step.family for step in steps]
    tasks = len(set(families))
    names = families if tasks > 1 else [str(number) for number in range(len(steps))]
    fold = folds(np.array(names), FOLDS)
    said, given = np.zeros(len(steps)), np.zeros(len(steps))
    for one in np.unique(fold):
        learned = learn_what_can_be([step for step, of in zip(steps, fold, strict=True) if of != one], "the bench")
        for place in np.flatnonzero(fold == one).tolist():
            features = steps[place].features
            said[place] = learned.whole_card_mb(features)
            given[place] = said[place] * learned.margin(risk, features)
    measured = np.array([step.measured_mb for step in steps])
    return {"rows": len(steps), "families": tasks} | asdict(figures(said, given, measured))
