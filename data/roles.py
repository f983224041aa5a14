"""What somebody may do with the service.

>>> Role("operator").covers(Role.SUBMIT), Role.SUBMIT.covers(Role.OPERATOR)
(True, False)
"""

from enum import StrEnum


class Role(StrEnum):
    """Each may do what those before it may."""

    #: Ask for predictions of own jobs, and see own jobs.
    SUBMIT = "submit"
    #: Everything of a cluster: all jobs, outcomes, reports, models, retraining.
    OPERATOR = "operator"
    #: Also what cannot be taken back: publishing without a contest.
    ADMIN = "admin"

    def covers(self, needed: "Role") -> bool:
        """Whether this role may do what takes the needed one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)
