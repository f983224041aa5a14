"""Several targets asked at once: from requests to calibrated distributions, every figure a row (target, job).

It says what `TargetModel` says of one target after the other (a test holds one against the other), in a tenth of the
calls of numpy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.queue_state import QUEUE_FIGURES
from crowdrun.predictor.asked import Asked
from crowdrun.predictor.explanation.record import Figures, figures
from crowdrun.predictor.explanation.risk_curve import Curve, risk_curves
from crowdrun.predictor.feature_sets import without
from crowdrun.predictor.features import Features, assemble_all, numeric_row
from crowdrun.predictor.history import FAMILY, Key
from crowdrun.predictor.panel import Panel
from crowdrun.predictor.quantiles import LEVELS, Array, at_logit, logit, mixture, truncate
from crowdrun.predictor.sizing import Played
from crowdrun.predictor.target import GROUPS, Target
from crowdrun.predictor.target_model import Ended, TargetModel
from crowdrun.predictor.target_rows import TargetRows

MEDIAN = LEVELS.tolist().index(0.5)


class Ensemble:
    """The models of targets that have the same members."""

    def __init__(self, models: Sequence[TargetModel]) -> None:
        self.models = models
        self.targets = [model.target for model in models]
        #: Member -> its kind for all targets, as one.
        self._joints = {
            name: type(learner).joint([model.learners[name] for model in models])
            for name, learner in models[0].learners.items()
        }

    @classmethod
    def all_of(cls, models: Mapping[str, TargetModel]) -> "list[Ensemble]":
        """As few as there are: one where all targets have the same members."""
        alike: dict[tuple[str, ...], list[TargetModel]] = {}
        for model in models.values():
            alike.setdefault(tuple(model.learners), []).append(model)
        return [cls(some) for some in alike.values()]

    def ask(self, parts: Sequence[Asked]) -> "Said":
        """What the members say, and the crowd."""
        return Said(self, parts, features_of(self.models, parts))

    def renew(self) -> None:
        """Ask members that learnt meanwhile as they are now."""
        for name, learner in self.models[0].learners.items():
            if learner.learns_online:
                self._joints[name] = type(learner).joint([model.learners[name] for model in self.models])

    def members(self, panel: Panel) -> Array:
        """(members, rows, levels) relative to the anchor."""
        said = np.empty((len(self._joints), len(panel), len(LEVELS)))
        for place, joint in enumerate(self._joints.values()):
            said[place] = joint.predict(panel)
        return said


def features_of(models: Sequence[TargetModel], parts: Sequence[Asked]) -> Features:
    """What the members of these targets look at: a row a target and job, one target after the other."""
    rows: list[list[float]] = []
    queue: Array | None = None
    for model in models:
        times = [part.request.submit_time or model.history.newest_time for part in parts]
        for part, now in zip(parts, times, strict=True):
            items = model.items.statistics(part.place)
            rows.append(numeric_row(part.row, part.keys, model.history, now, items))
        if model.target.is_wait:
            queue = _queue_figures(parts, times)
    features = assemble_all(rows, [part.categories for part in parts], [model.target for model in models], queue)
    if not any(model.settings.hidden for model in models):
        return features
    count = len(parts)
    return Features.joined([
        without(features.rows(slice(place * count, (place + 1) * count)), model.settings.hidden)
        for place, model in enumerate(models)
    ])  # fmt: skip


def _queue_figures(parts: Sequence[Asked], times: Sequence[float]) -> Array | None:
    """(n, len(QUEUE_FIGURES)), NaN where nobody looked; None where nobody looked at all."""
    if all(part.queue is None for part in parts):
        return None
    result = np.full((len(parts), len(QUEUE_FIGURES)), np.nan)
    for row, (part, now) in enumerate(zip(parts, times, strict=True)):
        if part.queue is not None:
            request = part.request
            result[row] = part.queue.seen_by(user=request.user, partition=request.partition, now=now)
    return result


@dataclass(frozen=True, kw_only=True)
class OfTarget:
    """The distributions of n jobs for one target, log2."""

    features: Features
    groups: list[int]
    families: list[Key | None]
    #: (m, n, levels)
    members: Array
    #: (n, levels)
    combined: Array
    by_family: Array
    calibrated: Array
    #: (n,) what of the request bounds the need, NaN for none.
    bound: Array

    def rows(self, index: NDArray[np.intp]) -> "OfTarget":
        return OfTarget(
            features=self.features.rows(index), groups=[self.groups[row] for row in index.tolist()],
            families=[self.families[row] for row in index.tolist()], members=self.members[:, index],
            combined=self.combined[index], by_family=self.by_family[index], calibrated=self.calibrated[index],
            bound=self.bound[index],
        )  # fmt: skip

    def ended(self, value_log2: Array) -> Ended:
        """The same jobs once they have ended: (n,) log2 of what they needed."""
        return Ended(
            groups=self.groups, families=self.families, members=self.members, combined=self.combined,
            by_family=self.by_family, value_log2=value_log2, bound_log2=self.bound,
        )  # fmt: skip


class Said:
    """The distributions of n jobs for each target of an ensemble, log2; rows as in a panel."""

    def __init__(self, ensemble: Ensemble, parts: Sequence[Asked], features: Features) -> None:
        panel = Panel(features=features, targets=len(ensemble.models))
        self._models = ensemble.models
        self.features = features
        self.target = TargetRows.of_targets(ensemble.targets, len(parts))
        self.groups = self.target.groups(features.anchor)
        #: (rows,) the request, NaN for none, and what of it bounds the need.
        self.asked = _asked(ensemble.targets, parts, self.target)
        self.bound = np.where(self.target.capped_at_request, self.asked, np.nan)
        self._longest = np.repeat([model.longest_log2 for model in ensemble.models], len(parts))[:, None]
        #: Members' (m, rows, levels), without the request as a bound, and with it.
        self._free = np.minimum(ensemble.members(panel) + features.anchor[:, None], self._longest)
        bounds = np.tile(self.bound, len(self._free))
        self.members = truncate(self._free.reshape(-1, len(LEVELS)), bounds).reshape(self._free.shape)
        self._state = _ByGroup(ensemble.models, panel.target_of_row, self.groups)
        #: A row's family, where its target knows families.
        self._families = [
            None if model.target.is_wait else part.keys[FAMILY] for model in ensemble.models for part in parts
        ]
        self._mix()

    def _mix(self) -> None:
        """The members mixed by weight and calibrated; where the request cut one of them, also as if it had not."""
        self._cut = np.logical_or.reduce(self._free != self.members, axis=(0, 2)).nonzero()[0]
        rows, members = self._state.places, self.members
        if len(self._cut):
            rows = np.concatenate([rows, rows[self._cut]])
            members = np.concatenate([members, self._free[:, self._cut]], axis=1)
        weights = self._state.table(lambda model, group: model.weights.of(group))
        logits = self._state.table(lambda model, group: model.calibration.logits(group))
        #: (rows, m)
        self.weights = weights[self._state.places]
        combined = mixture(members, weights[rows].T)
        count = len(self.groups)
        models = np.repeat(np.array(self._models, dtype=object), count // len(self._models))
        own = np.array([
            model.families.logits(family) for model, family in zip(models, self._families, strict=True)
        ])  # fmt: skip
        by_family = at_logit(combined, np.concatenate([own, own[self._cut]]))
        calibrated = at_logit(by_family, logits[rows])
        #: (rows, levels): the mixture, the same at the levels of each row's family, and what the jobs to come keep.
        self.combined, self.by_family = combined[:count], by_family[:count]
        self._given = self._possible(calibrated[:count])
        self._cut_free = calibrated[count:]
        self.calibrated = np.fmin(self._given, self.bound[:, None])

    def _possible(self, quantiles: Array) -> Array:
        """The least that can be told of a wait is none, the most is what was learnt from."""
        if not self.target.any_wait:
            return quantiles
        least = np.where(self.target.is_wait, 0.0, -np.inf)[:, None]
        kept: Array = np.minimum(np.maximum(quantiles, least), self._longest)
        return kept

    def of_target(self, place: int) -> OfTarget:
        """What was said for one target of the ensemble."""
        jobs = len(self.groups) // len(self._models)
        rows = slice(place * jobs, (place + 1) * jobs)
        return OfTarget(
            features=self.features.rows(rows), groups=self.groups[rows].tolist(), families=self._families[rows],
            members=self.members[:, rows], combined=self.combined[rows], by_family=self.by_family[rows],
            calibrated=self.calibrated[rows], bound=self.bound[rows],
        )  # fmt: skip

    def figures(self, risk: float) -> Iterator[Figures]:
        """Of each row, in the unit of its target."""
        safe = self.safe(risk)
        return figures(
            self.target, tuple(self._models[0].learners), calibrated=self.calibrated, safe=safe,
            lean=np.fmin(self.lean(), safe), medians=self.members[:, :, MEDIAN], weights=self.weights,
            asked=self.asked, curves=self.curves(),
        )  # fmt: skip

    def curves(self) -> list[Curve]:
        """The risk of any request, for each row."""
        free = self._given
        if len(self._cut):
            free = free.copy()
            free[self._cut] = self._cut_free
        return risk_curves(self.target, self._given, free, self.bound)

    @cached_property
    def _played(self) -> Played:
        return Played(self.calibrated)

    def safe(self, risk: float) -> Array:
        """(rows,) the allocation that keeps the risk over all jobs; of a wait, the quantile (`TargetModel.safe`)."""
        ceilings = [risk if model.target.is_wait else model.budget.ceiling(risk) for model in self._models]
        ceiling = np.repeat(ceilings, len(self.groups) // len(ceilings))
        quantile = at_logit(self.calibrated, logit(1 - ceiling)[:, None])
        chosen = np.maximum(self._played.safe(self.target.failure_price, risk, ceiling), quantile)
        return np.where(self.target.is_wait, quantile, chosen)

    def lean(self) -> Array:
        """(rows,) the allocation with the least expected wastage; of a wait, the median (`TargetModel.lean`)."""
        return np.where(self.target.is_wait, self.combined[:, MEDIAN], self._played.lean(self.target.failure_price))


class _ByGroup:
    """What the models know of each group of jobs, looked up once for each that occurs."""

    def __init__(self, models: Sequence[TargetModel], targets: NDArray[np.intp], groups: NDArray[np.intp]) -> None:
        self._models = models
        found: dict[int, int] = {}
        #: (rows,) which of the pairs each row is.
        self.places = np.array([found.setdefault(pair, len(found)) for pair in (GROUPS * targets + groups).tolist()])
        self._pairs = list(found)

    def table(self, of: Callable[[TargetModel, int], Array]) -> Array:
        """(pairs, k); `places` says which of them is a row's."""
        return np.array([of(self._models[pair // GROUPS], pair % GROUPS) for pair in self._pairs])


def _asked(targets: Sequence[Target], parts: Sequence[Asked], rows: TargetRows) -> Array:
    """(rows,) log2 of the requests; NaN where nothing was asked for, or nothing that can be needed."""
    columns = [target.request_column for target in targets]
    asked = np.array(
        [getattr(part.request, column) if column else None for column in columns for part in parts], dtype=np.float64
    )
    asked[asked < np.where(rows.offset > 0, 0.0, 1e-9)] = np.nan
    return rows.to_log2(asked)
