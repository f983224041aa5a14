"""Notices that jobs are no longer what the published model was made for: ADWIN on its loss, its coverage and strangers.

What is watched is the model **as it was published**, without what it learnt since. A crowd that learns online hides a
drift within a few dozen jobs by adapting to it: its loss has a short bump that no detector can tell from chance
(docs/log.md). That it adapts is good; that its members were fitted to another world is still a reason to fit them anew.

- the pinball loss, scaled and at most 1, of all jobs and of each family (user, name and command, numbers out);
- coverage of the 95% quantile, of all jobs;
- strangers: jobs of users of whom it knew no ended job.

ADWIN (Bifet and Gavalda, "Learning from Time-Changing Data with Adaptive Windowing", SIAM SDM 2007; the one of river)
cuts a window where the means before and after differ by more than chance allows at the confidence DELTA.
"""

from collections.abc import Container, Hashable
from dataclasses import dataclass

import numpy as np
from river.drift import ADWIN

from crowdrun.predictor.history import RELATIONS, Key, keys_of
from crowdrun.predictor.learning_log import LearningLog
from crowdrun.predictor.retraining.follow import Said

#: ADWIN's confidence for each figure, chosen on seven synthetic logs (docs/log.md): for the loss its bound is so wide
#: that 0.2 gives no false alarm in 70,000 quiet jobs, and notices more than twice as early as river's 0.002; for a rare
#: yes or no it is not.
DELTA = {"loss": 0.2, "coverage": 0.0001, "strangers": 0.0001}
#: Jobs after which a detector looks; those of one family are few.
CLOCK, FAMILY_CLOCK = 8, 1
#: log2 to the watched range of 0 to 1: being off by a factor of 1.5 or so is as bad as can be told.
LOSS_SCALE = 3.0
_FAMILY, _USER = RELATIONS.index("same user, command and name"), RELATIONS.index("same user")


@dataclass(frozen=True, kw_only=True)
class Alarm:
    """One drift that was noticed."""

    target: str
    #: What drifted: "loss", "coverage", "strangers".
    what: str
    #: The row of the job at whose end it was noticed, and how many jobs had been looked at by then.
    row: int
    after: int
    #: The family that drifted, None for all jobs.
    family: str | None = None

    def __str__(self) -> str:
        whose = f" of {self.family}" if self.family else ""
        return f"{self.what}{whose} for {self.target} changed (seen after {self.after} jobs)"


def alarms(log: LearningLog, said: Said, known: Container[Key | None]) -> list[Alarm]:
    """What was noticed of one target, in the order in which the jobs ended.

    said: by the model as it was published; known: the keys of its history then.
    """
    watch = _Watch(said.target.name)
    order = np.argsort(log.end_time, kind="stable")
    told = order[~np.isnan(said.value_log2[order])]
    judged, loss, covered = said.judged, np.minimum(LOSS_SCALE * said.loss, 1.0), said.covered
    for after, row in enumerate(told.tolist(), start=1):
        keys = keys_of(log.requests[row])
        watch.update("strangers", float(keys[_USER] not in known), row, after)
        if judged[row]:
            watch.update("loss", float(loss[row]), row, after)
            watch.update("coverage", float(covered[row]), row, after)
            if keys[_FAMILY]:
                watch.update("loss", float(loss[row]), row, after, family=keys[_FAMILY])
    return watch.alarms


class _Watch:
    def __init__(self, target: str) -> None:
        self.target = target
        self.alarms: list[Alarm] = []
        self._detectors: dict[Hashable, ADWIN] = {}

    def update(self, what: str, value: float, row: int, after: int, family: Key | None = None) -> None:
        """One figure of one job that ended, 0 to 1."""
        key = (what, family)
        if key not in self._detectors:
            few = {"clock": FAMILY_CLOCK, "grace_period": 5} if family else {"clock": CLOCK}
            self._detectors[key] = ADWIN(delta=DELTA[what], **few)  # type: ignore[no-untyped-call]
        detector = self._detectors[key]
        detector.update(value)  # type: ignore[no-untyped-call]
        if detector.drift_detected:
            # Without the relation's number: user, command, name.
            named = " ".join(str(part) for part in family[1:] if part) if family else None
            self.alarms.append(Alarm(target=self.target, what=what, row=row, after=after, family=named))
