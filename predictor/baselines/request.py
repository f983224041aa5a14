"""What the users themselves ask for; nothing is learnt."""

from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted


class Request(Baseline):
    """The user's request.

    >>> Request().allocate(Submitted(submit_time=0.0, request_mb=4096.0, size=4096.0))
    4096.0
    """

    name = "request"
    title = "the users' own request"
    fewest = 0

    def learn(self, job: Submitted, ended: Ended) -> None:
        pass

    def allocate(self, job: Submitted) -> float:
        return job.request_mb
