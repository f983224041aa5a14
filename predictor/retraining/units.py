"""A guard against unit errors that knows what a crowd knows, for a service that learns from one job after the other."""

from crowdrun.data.unit_guard import UnitGuard
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.history import RELATIONS

#: The relation whose keys are families of the guard.
_FAMILY = RELATIONS.index("same user, command and name")


def guard_knowing(crowd: Crowd) -> UnitGuard:
    """A guard that compares with the host memory that is in the crowd's history."""
    guard = UnitGuard()
    model = crowd.models.get("mem_mb")
    for key, trail in (model.history.trails if model else {}).items():
        if key[0] == _FAMILY:
            user, command, name = (str(part or "") for part in key[1:4])
            guard.remember((user, name, command), (2.0**size for size in trail.recent))
    return guard
