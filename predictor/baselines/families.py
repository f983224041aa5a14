"""The published methods replayed over a log: each job is sized by the model of its closest family that has a history.

A family is the jobs of one key. Each job has keys from the closest to the widest; of those the first whose model has
learnt from `Baseline.fewest` jobs is asked, and where there is none the job keeps its request. An ended job teaches
the models of all its keys.
"""

import math
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from crowdrun.data.replay import events
from crowdrun.predictor.baselines.base import Baseline, Ended, Submitted
from crowdrun.predictor.baselines.known import Families, has_peak
from crowdrun.predictor.evaluation.allocations import request_mb
from crowdrun.predictor.learning_log import LearningLog, numbers
from crowdrun.predictor.quantiles import Array


@dataclass(frozen=True, kw_only=True)
class Sized:
    """What a method gave each of n jobs."""

    #: (n,) MB of the first attempt, NaN where there was neither an answer nor a request.
    first_mb: Array
    #: Row of a job whose first attempt was too little -> MB of the attempts after it, the last one enough.
    later_mb: dict[int, list[float]]


@dataclass
class _Model:
    method: Baseline
    learnt: int = 0


@dataclass
class _Player:
    """One method: its models, and what it said."""

    make: type[Baseline]
    first: Array
    models: dict[Hashable, _Model] = field(default_factory=dict)
    later: dict[int, list[float]] = field(default_factory=dict)

    def submit(self, row: int, job: Submitted, keys: Iterable[Hashable], need_mb: float, cap_mb: float) -> None:
        model = next((model for model in map(self._model, keys) if model.learnt >= self.make.fewest), None)
        said = model.method.allocate(job) if model else math.nan
        self.first[row] = said = job.request_mb if math.isnan(said) else said
        given = min(max(said, 1.0), cap_mb)
        # What the simulator knows, and no method: whether that will do.
        while given < min(need_mb, cap_mb):
            following = model.method.retry(job, given) if model else 2 * given
            given = min(following if following > given else 2 * given, cap_mb)
            self.later.setdefault(row, []).append(given)

    def end(self, job: Submitted, keys: Iterable[Hashable], ended: Ended) -> None:
        for key in keys:
            model = self._model(key)
            model.method.learn(job, ended)
            model.learnt += 1

    def _model(self, key: Hashable) -> _Model:
        model = self.models.get(key)
        if model is None:
            model = self.models[key] = _Model(self.make())
        return model


def play(
    log: LearningLog, methods: dict[str, type[Baseline]], families: Families, cap_mb: float,
    useful: NDArray[np.bool_] | None = None, progress: Callable[[float], None] | None = None,
) -> dict[str, Sized]:  # fmt: skip
    """What each method gives each job of the log; nothing is larger than cap_mb.

    useful: (n,) True where the peak can be believed (by default `has_peak`); only such jobs teach.
    """
    jobs, need = submitted(log), np.nan_to_num(numbers(log.jobs, "peak_mem_mb"))
    run_time = numbers(log.jobs, "end_time") - numbers(log.jobs, "start_time")
    useful = has_peak(log) if useful is None else useful
    players = {name: _Player(make, np.full(len(log), np.nan)) for name, make in methods.items()}
    for what, row in events(log.submit_time.tolist(), log.end_time.tolist()):
        if what == "submit":
            for player in players.values():
                player.submit(row, jobs[row], families[row], need[row], cap_mb)
            if progress and row % 500 == 0:
                progress(row / len(log))
        elif useful[row]:
            ended = Ended(peak_mb=need[row], run_time_s=run_time[row], end_time=log.end_time[row])
            for player in players.values():
                player.end(jobs[row], families[row], ended)
    return {name: Sized(first_mb=player.first, later_mb=player.later) for name, player in players.items()}


def submitted(log: LearningLog) -> list[Submitted]:
    """What the methods are told of each job."""
    request = request_mb(log)
    cpus = np.nan_to_num(numbers(log.jobs, "req_cpus"))
    size = np.where(np.isnan(request), cpus, request)
    return [
        Submitted(submit_time=when, request_mb=asked, size=known)
        for when, asked, known in zip(log.submit_time.tolist(), request.tolist(), size.tolist(), strict=True)
    ]
