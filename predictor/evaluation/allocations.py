"""What each job would have been given: the crowd's figure, or the user's own request where the crowd abstains."""

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.labels import believable_request_mb
from crowdrun.predictor.explanation.evidence import FIRST_UNRELATED
from crowdrun.predictor.features import NUMERIC_NAMES
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.replay import Replayed

_RELATION = NUMERIC_NAMES.index("anchor_relation")


def abstains(replayed: Replayed) -> NDArray[np.bool_]:
    """(n,) True where there was nothing to go on: no model yet, or no ended job that says something of this one."""
    return np.asarray(~replayed.predicted | (replayed.features.numeric[:, _RELATION] >= FIRST_UNRELATED))


def request_mb(log: LearningLog) -> Array:
    """(n,) MB that each job asked for; NaN where it is unknown or cannot be meant."""
    return np.asarray(believable_request_mb(log.jobs))


def allocation_mb(log: LearningLog, replayed: Replayed, value_log2: Array) -> Array:
    """(n,) MB given for (n,) log2 of MB that was said.

    Rounded up, as a request is written: a job that uses all of its own request must not fail on the last bit of log2.
    """
    said = np.ceil(replayed.target.from_log2(value_log2) - 1e-6)
    return np.where(abstains(replayed), request_mb(log), said)
