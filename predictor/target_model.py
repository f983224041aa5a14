"""All that the crowd keeps for one target: histories, members, weights and calibration."""

import math
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.calibration import Calibration
from crowdrun.predictor.family_levels import FamilyLevels
from crowdrun.predictor.feature_sets import without
from crowdrun.predictor.features import Features, some_without_queue
from crowdrun.predictor.fitting import NEWEST_FITTED, Fitting, begin, fit_executor
from crowdrun.predictor.history import History, Key
from crowdrun.predictor.items import Items
from crowdrun.predictor.learner import Learner
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.quantiles import Array, at_logit, logit, logit_of, mixture, pinball, truncate
from crowdrun.predictor.sizing import RiskBudget, lean_log2, safe_log2
from crowdrun.predictor.target import Target
from crowdrun.predictor.target_settings import TargetSettings
from crowdrun.predictor.weights import Weights

#: Fewer labelled jobs than this teach nothing.
FEWEST_JOBS = 30
#: Jobs after which the members that can learn online do: an update costs as much for one as for many.
UPDATE_JOBS = 16


@dataclass(frozen=True, kw_only=True)
class Ended:
    """n jobs that ended, in the order of their ends: what was said of each at its submission, and what it needed."""

    groups: Sequence[int]
    #: None where a job names nothing that others could have in common with it.
    families: Sequence[Key | None]
    #: (members, n, levels), log2.
    members: Array
    #: (n, levels), log2: the members mixed, and the same at the levels of the families.
    combined: Array
    by_family: Array
    #: (n,) log2 of the need, and of the request, NaN for none.
    value_log2: Array
    bound_log2: Array


@dataclass(kw_only=True)
class TargetModel:
    """The crowd for one target."""

    target: Target
    seed: int = 0
    settings: TargetSettings = field(default_factory=TargetSettings)
    learners: dict[str, Learner] = field(default_factory=dict)
    history: History = field(default_factory=History)
    items: Items = field(default_factory=Items)
    weights: Weights = field(init=False)
    families: FamilyLevels = field(init=False)
    calibration: Calibration = field(init=False)
    budget: RiskBudget = field(default_factory=RiskBudget)
    #: No longer wait is told than the longest that was learnt from: a line that goes on would tell of years.
    longest_log2: float = math.inf
    #: What ended since the members were last updated: features, and log2 relative to the anchor.
    _untaught: list[tuple[Features, Array]] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.weights = Weights(len(self.settings.members), self.settings.of("weights"))
        self.families = FamilyLevels(self.settings.of("families"))
        self.calibration = Calibration(self.settings.of("calibration"))

    def fit(self, features: Features, value_log2: Array) -> None:
        """Fit every member anew; rows in the order in which the jobs ended."""
        with fit_executor() as executor:
            rows = np.arange(len(features))
            self.take(self.begin_fit(features, value_log2, rows, executor))

    def begin_fit(self, features: Features, value_log2: Array, rows: NDArray[np.intp], executor: Executor) -> Fitting:
        """Begin to fit every member on some rows, in the order in which the jobs ended; this model stays as it is."""
        features = without(features, self.settings.hidden)
        if self.target.is_wait:
            rows = rows[-NEWEST_FITTED:]
            features, value_log2 = some_without_queue(features.rows(rows), self.seed), value_log2[rows]
            rows = np.arange(len(rows))
        learners = {name: (LEARNERS[name], self.settings.of(name)) for name in self.settings.members}
        return begin(learners, self.seed, features, value_log2 - features.anchor, rows, executor)

    def take(self, fitting: Fitting) -> None:
        """Wait until members are fitted, and answer with them from now on."""
        self.learners = fitting.result()
        if self.target.is_wait:
            self.longest_log2 = fitting.highest_log2

    def members(self, features: Features, bound_log2: Array) -> Array:
        """The members' own distributions, log2, none above the bound: (members, n, levels).

        bound_log2: (n,), NaN for none.
        """
        seen = without(features, self.settings.hidden)
        members = np.stack([learner.predict(seen) for learner in self.learners.values()])
        return self.bounded(members + features.anchor[:, None], bound_log2)

    def bounded(self, members: Array, bound_log2: Array) -> Array:
        """The same distributions given that the need is at most the bound, where the request is one."""
        if not self.target.capped_at_request:
            return np.minimum(members, self.longest_log2)
        cut = truncate(members.reshape(-1, members.shape[2]), np.tile(bound_log2, len(members)))
        return cut.reshape(members.shape)

    def combine(self, members: Array, groups: Sequence[int]) -> Array:
        """The crowd's raw distributions: the members', mixed by weight. (members, n, levels) -> (n, levels)."""
        return mixture(members, np.stack([self.weights.of(group) for group in groups], axis=1))

    def by_family(self, combined: Array, families: Sequence[Key | None]) -> Array:
        """The raw distributions at the levels of each job's own family: (n, levels) -> (n, levels)."""
        return at_logit(combined, np.stack([self.families.logits(family) for family in families]))

    def calibrate(self, by_family: Array, groups: Sequence[int], bound_log2: Array) -> Array:
        """Distributions whose levels are kept by the jobs to come: (n, levels)."""
        logits = np.stack([self.calibration.logits(group) for group in groups])
        return self._capped(at_logit(by_family, logits), bound_log2[:, None])

    def lean(self, combined: Array, calibrated: Array) -> Array:
        """(n,) log2 of the allocation with the least expected wastage; of a wait, the one best guess.

        That is the median of the raw distribution, which has the least expected absolute error. Calibration is for the
        levels that are promised: after a burst that nobody foresaw it takes the median along (docs/log.md).
        """
        if self.target.is_wait:
            return at_logit(combined, np.zeros(1))
        return lean_log2(calibrated, self.target)

    def safe(self, calibrated: Array, risk: float) -> Array:
        """(n,) log2 of the allocation that keeps the risk over all jobs; of a wait, the quantile."""
        if self.target.is_wait:
            return at_logit(calibrated, logit(np.array([1 - risk])))
        ceiling = np.full(len(calibrated), self.budget.ceiling(risk))
        return safe_log2(calibrated, self.target, risk, ceiling)

    def _capped(self, quantiles: Array, bound_log2: Array) -> Array:
        if self.target.is_wait:
            # The least that can be told is no wait.
            return np.clip(quantiles, 0.0, self.longest_log2)
        return np.fmin(quantiles, bound_log2) if self.target.capped_at_request else quantiles

    def observe(self, ended: "Ended") -> None:
        """Learn from ended jobs, in the order of their ends, how good their predictions were."""
        if not len(ended.groups):
            return
        value = ended.value_log2
        losses = pinball(ended.members, value)
        raw, moved = logit_of(ended.combined, value).tolist(), logit_of(ended.by_family, value).tolist()
        judges = self.judges(value, ended.bound_log2).tolist()
        for row, (group, family) in enumerate(zip(ended.groups, ended.families, strict=True)):
            self.weights.observe(group, losses[:, row])
            if judges[row]:
                self.families.observe(family, raw[row])
                self.calibration.observe(group, moved[row])

    def observe_failures(self, safe_log2: Array, value_log2: Array, bound_log2: Array, risk: float) -> None:
        """Learn from ended jobs, in the order of their ends, whether the promise is kept: (n,) each, log2."""
        judges = self.judges(value_log2, bound_log2)
        for failed in (value_log2 > safe_log2)[judges].tolist():
            self.budget.observe(failed=failed, risk=risk)

    def judges(self, value_log2: Array, bound_log2: Array) -> NDArray[np.bool_]:
        """(n,) whether each job's need says something of the levels.

        One that needed more than was asked for does not: nothing above the request is ever recommended, so no level
        would have held it, and to raise the levels for its sake makes all others pay (docs/log.md).
        """
        if not self.target.capped_at_request:
            return np.ones(len(value_log2), dtype=np.bool_)
        judges: NDArray[np.bool_] = ~(value_log2 > bound_log2)
        return judges

    def update_members(self, features: Features, value_log2: Array) -> None:
        """Let the members that can learn online do so, UPDATE_JOBS at a time; rows in the order of their ends."""
        self._untaught.append((without(features, self.settings.hidden), value_log2 - features.anchor))
        if sum(len(values) for _, values in self._untaught) < UPDATE_JOBS:
            return
        taught = Features.joined([part for part, _ in self._untaught])
        values = np.concatenate([relative for _, relative in self._untaught])
        for learner in self.learners.values():
            learner.update(taught, values)
        self._untaught.clear()
