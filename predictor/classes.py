"""Memory classes, the view for people: powers of two MB, named by their upper bound.

The class of a distribution is the class that holds the most of it. `mode`, `poll` and `crowd` are compared on these.

>>> grid = np.log2([[100.0, 100, 100, 100, 110, 120, 140, 160, 200, 250, 300, 400, 600]])
>>> class_of_value(np.log2([100.0, 128.0, 129.0])).tolist(), likeliest_class(grid).tolist()
([7, 7, 8], [7])
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.quantiles import Array, expit, logit_of

#: Classes go from 2^0 to 2^24 MB (1 MB to 16 TB).
SMALLEST_CLASS, LARGEST_CLASS = 0, 24
#: A value this little above an edge is at the edge, log2: 2^7 MB that went through log2 and back stays in class 7.
_NOISE = 1e-9

Classes = NDArray[np.int64]


def class_of_value(value_log2: Array) -> Classes:
    """k for a value in (2^(k-1), 2^k]."""
    result: Classes = np.clip(np.ceil(value_log2 - _NOISE), SMALLEST_CLASS, LARGEST_CLASS).astype(np.int64)
    return result


def likeliest_class(quantiles: Array) -> Classes:
    """The class with the most probability in each row of quantiles (n, len(LEVELS))."""
    return likeliest_between(quantiles, np.arange(SMALLEST_CLASS - 1, LARGEST_CLASS + 1.0)) + SMALLEST_CLASS


def likeliest_between(quantiles: Array, edges_log2: Array) -> Classes:
    """(n,) the place of the class with the most probability, of those between edges (k + 1,): 0 to k - 1."""
    # A little above the edge, so that what lies on it counts as below, as in `class_of_value`.
    edges = edges_log2 + _NOISE
    reached = np.stack([expit(logit_of(quantiles, np.full(len(quantiles), edge))) for edge in edges], axis=1)
    reached[quantiles[:, :1] > edges] = 0.0
    result: Classes = np.argmax(np.diff(reached, axis=1), axis=1).astype(np.int64)
    return result


def most_frequent(values_log2: Sequence[float]) -> int:
    """`mode`: the most frequent class of a job's own history (not empty, oldest first), of equals the newest."""
    classes = class_of_value(np.array(values_log2)).tolist()
    counts = Counter(reversed(classes))
    return int(counts.most_common(1)[0][0])


def most_frequent_of_rows(values_log2: Array) -> Classes:
    """`most_frequent` of each row: (n, k), newest first, NaN beyond the oldest. Returns (n,), -1 for an empty row."""
    rows, width = values_log2.shape
    known = ~np.isnan(values_log2)
    classes = class_of_value(np.where(known, values_log2, 0.0))
    counts = np.zeros((rows, LARGEST_CLASS + 1), dtype=np.int64)
    for place in range(width):
        here = np.flatnonzero(known[:, place])
        # A count in steps larger than any age, plus how new its first value is: of equals, the newest is largest.
        first = counts[here, classes[here, place]] == 0
        counts[here, classes[here, place]] += width + 1 + np.where(first, width - place, 0)
    return np.where(known.any(axis=1), counts.argmax(axis=1), -1)


class Poll:
    """`poll`: the class that the learners vote for, each weighted by its accuracy so far."""

    #: Votes that a learner starts with, half of them right.
    PRIOR = 10.0

    def __init__(self, members: int) -> None:
        self.right = np.full(members, self.PRIOR / 2)
        self.asked = np.full(members, self.PRIOR)

    def vote(self, votes: Classes) -> int:
        """The class with the largest sum of odds. votes: (members,)."""
        accuracy = self.right / self.asked
        tally: dict[int, float] = {}
        for vote, weight in zip(votes.tolist(), accuracy.tolist(), strict=True):
            # Odds, as in weighted majority voting: who is right nine times in ten outvotes three who toss a coin.
            tally[vote] = tally.get(vote, 0.0) + weight / max(1 - weight, 1e-3)
        return max(tally, key=lambda one: tally[one])

    def observe(self, votes: Classes, truth: int) -> None:
        self.right += votes == truth
        self.asked += 1
