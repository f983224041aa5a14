"""What the methods go by: which ended jobs teach, and which jobs are of one family."""

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.labels import SHORTEST_RUN_S
from crowdrun.predictor.history import template
from crowdrun.predictor.learning_log import LearningLog, numbers

#: For each job its keys, the closest first; the jobs of one key are a family.
Families = Sequence[tuple[Hashable, ...]]
#: The key that all jobs have.
EVERYTHING: Hashable = ()


def families_of(log: LearningLog) -> Families:
    """The same user and name (digits out), the same user, all jobs."""
    return [((request.user, template(request.job_name)), (request.user,), EVERYTHING) for request in log.requests]


def has_peak(log: LearningLog) -> NDArray[np.bool_]:
    """(n,) True where a peak above 0 was seen over a run of SHORTEST_RUN_S or more, out-of-memory jobs included."""
    run = numbers(log.jobs, "end_time") - numbers(log.jobs, "start_time")
    return np.asarray((numbers(log.jobs, "peak_mem_mb") > 0) & (run >= SHORTEST_RUN_S))
