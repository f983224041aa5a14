"""A method as the bench judges it: what it gives each job, and what else it says of it."""

from dataclasses import dataclass
from typing import Literal

from crowdrun.predictor.classes import Classes
from crowdrun.predictor.evaluation.metrics import Retry
from crowdrun.predictor.quantiles import Array

#: crowd: ours. published: somebody's, from a paper or a tool. rule: a rule of thumb. member: one learner of the crowd
#: alone. hindsight: chosen with the answers at hand, so no method that anybody could use.
Kind = Literal["crowd", "published", "rule", "member", "hindsight"]


@dataclass(frozen=True, kw_only=True)
class Method:
    """One allocation of n jobs."""

    name: str
    #: As a person reads it.
    title: str
    kind: Kind
    #: (n,) MB; NaN where there is neither an answer nor a request.
    allocation_mb: Array
    retry: Retry | None
    #: (n, levels) log2 MB, of methods that say a distribution.
    quantiles: Array | None = None
    #: (n,) memory class, of methods that name one.
    classes: Classes | None = None
