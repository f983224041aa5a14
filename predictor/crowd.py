"""The crowd: one model a target, trained on a log, that recommends for a job and learns from each job that ends."""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from crowdrun.data.errors import ModelError, NotEnoughDataError
from crowdrun.data.job import JobRequest, Recommendation, TargetPrediction
from crowdrun.data.queue_state import QUEUE_FIGURES, Queue
from crowdrun.predictor.explanation.evidence import evidence_of
from crowdrun.predictor.explanation.record import prediction_of
from crowdrun.predictor.explanation.risk_curve import Curve, risk_curves
from crowdrun.predictor.explanation.sentences import sentences
from crowdrun.predictor.features import Features, assemble, category_row, numeric_row, request_row
from crowdrun.predictor.fitting import fit_executor
from crowdrun.predictor.history import Key, keys_of
from crowdrun.predictor.items import place_of, run_time_log2
from crowdrun.predictor.learning_log import LearningLog, in_end_order, numbers, worth_learning
from crowdrun.predictor.persistence.target_file import load_target, save_target
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.rehearsal import Rehearsal
from crowdrun.predictor.sizing import USUAL_RISK
from crowdrun.predictor.target import TARGETS
from crowdrun.predictor.target_model import FEWEST_JOBS, TargetModel
from crowdrun.predictor.target_settings import TargetSettings

MEDIAN = LEVELS.tolist().index(0.5)
CROWD_FILE = "crowd.json"
QUEUE_UNSEEN = "wait: told from past waits alone; what waits and runs now was not looked at."


class Crowd:
    """What is published and served.

    summary: data range, row counts, members and figures, as JSON can hold them.
    """

    def __init__(
        self, models: Mapping[str, TargetModel], abstained: Mapping[str, str], summary: Mapping[str, Any]
    ) -> None:
        self.models = dict(models)
        #: Target -> why the log could not teach it.
        self.abstained = dict(abstained)
        self.summary = dict(summary)
        self.model_id: str | None = None

    @classmethod
    def train(
        cls, jobs: pd.DataFrame, *, seed: int = 0, settings: Mapping[str, TargetSettings] | None = None,
        progress: Callable[[str, float], None] | None = None,
    ) -> Self:  # fmt: skip
        """Learn from a job history (canonical columns); progress is told the target and the share that is done.

        settings: target -> how its crowd is set, for those that are not to have the defaults. The members are fitted
        on threads of this process, or wherever `fitting.fits_run_by` says.

        Raises:
            NotEnoughDataError: no target has enough labelled jobs.
        """
        log = LearningLog.of(jobs)
        reasons = {target: worth_learning(log, target, FEWEST_JOBS) for target in TARGETS}
        abstained = {target.name: reason for target, reason in reasons.items() if reason}
        chosen = settings or {}
        models: dict[str, TargetModel] = {}
        figures: dict[str, Any] = {}
        with fit_executor() as executor:
            # All begin before the first is finished: fits run on while another target's history is read.
            begun = [
                (target.name, Rehearsal(log, target, seed=seed, executor=executor, settings=chosen.get(target.name)))
                for target, reason in reasons.items()
                if reason is None
            ]
            for name, rehearsal in begun:
                figures[name] = rehearsal.finish(partial(progress, name) if progress else None)
                models[name] = rehearsal.model
        if not models:
            raise NotEnoughDataError(
                "the job history cannot teach any target: "
                + "; ".join(f"{name}: {reason}" for name, reason in abstained.items())
                + "; ingest a longer log with `crowdrun ingest LOG`"
            )
        submitted = log.submit_time[np.isfinite(log.submit_time)]
        span = (float(submitted.min()), float(submitted.max())) if len(submitted) else (None, None)
        summary = {
            "jobs": len(log),
            "first_submit_time": span[0],
            "last_submit_time": span[1],
            "users": int(log.jobs["user"].nunique()) if "user" in log.jobs else 0,
            "settings": {name: model.settings.to_json() for name, model in models.items()},
            "targets": figures,
            "abstained": abstained,
        }
        return cls(models, abstained, summary)

    def recommend(self, request: JobRequest, risk: float = USUAL_RISK) -> Recommendation:
        """What to ask for this job, so that over all jobs at most this share of them needs more."""
        return self.recommend_many([request], risk)[0]

    def recommend_many(
        self, requests: Sequence[JobRequest], risk: float = USUAL_RISK, queues: Sequence[Queue | None] | None = None
    ) -> list[Recommendation]:
        """The same for many jobs at once, none of which learns from another.

        queues: what waits and runs as each job is submitted, for its wait; None where nobody looked.
        """
        if not requests:
            return []
        queues = [None] * len(requests) if queues is None else queues
        parts = [_Asked(request, queue) for request, queue in zip(requests, queues, strict=True)]
        predictions: list[dict[str, TargetPrediction]] = [{} for _ in requests]
        abstained: list[dict[str, str]] = [dict(self.abstained) for _ in requests]
        reasons: list[list[str]] = [[] for _ in requests]
        for name, model in self.models.items():
            for row, prediction in enumerate(_predict(model, parts, risk)):
                if prediction.evidence is None:
                    who = f"user {requests[row].user}" if requests[row].user else "this user"
                    abstained[row][name] = f"no ended job of {who} or the same group; keep your own request"
                else:
                    predictions[row][name] = prediction
                    reasons[row] += sentences(model.target, prediction, risk)
                    if model.target.is_wait and queues[row] is None:
                        reasons[row].append(QUEUE_UNSEEN)
        return [
            Recommendation(
                request=request, risk=risk, predictions=said, abstained=missing, reasons=tuple(why),
                model_id=self.model_id,
            )
            for request, said, missing, why in zip(requests, predictions, abstained, reasons, strict=True)
        ]  # fmt: skip

    def features(self, target: str, request: JobRequest, queue: Queue | None = None) -> Features:
        """What the members of a target look at for this request: one row."""
        return _features(self.models[target], [_Asked(request, queue)])

    def observe(self, job: Mapping[str, Any]) -> None:
        """Learn from one job that ended (canonical columns): how good its prediction was, and its own figures."""
        self.observe_many([job])

    def observe_many(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """The same for jobs that ended meanwhile: none of them is predicted with what another of them teaches."""
        log = LearningLog.of(pd.DataFrame([dict(job) for job in jobs]))
        ended = in_end_order(log, np.flatnonzero(np.isfinite(log.end_time)))
        asked = {row: _Asked(log.requests[row]) for row in ended.tolist()}
        for model in self.models.values():
            values = log.values_log2(model.target)
            rows = [row for row in asked if not np.isnan(values[row])]
            if model.target.is_wait:
                _observe_items(model, asked, log, values)
                # Judged would be an answer that nobody gave: what the job saw of the queue is no longer known.
                known = log.known_time(model.target)
                for row in sorted(rows, key=lambda row: float(known[row])):
                    model.history.observe(asked[row].keys, float(values[row]), float(known[row]))
                continue
            parts = [asked[row] for row in rows]
            said = _Said(model, parts) if parts else None
            _observe_items(model, asked, log, values)
            if said:
                _learn(model, parts, said, values[rows], log.end_time[rows])

    def save(self, folder: Path) -> None:
        """Write everything into an existing, empty folder: npz and JSON alone."""
        for name, model in self.models.items():
            save_target(model, folder / name)
        content = {"targets": list(self.models), "abstained": self.abstained, "summary": self.summary}
        (folder / CROWD_FILE).write_text(json.dumps(content, indent=1), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The crowd that `save` wrote; neither scikit-learn, xgboost nor torch is imported.

        Raises:
            ModelError: a file is missing or cannot be read.
        """
        try:
            content = json.loads((folder / CROWD_FILE).read_text("utf-8"))
            models = {name: load_target(folder / name) for name in content["targets"]}
            return cls(models, content["abstained"], content["summary"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"cannot read {folder / CROWD_FILE}: {error}; publish the model anew") from error


class _Asked:
    """A request with what every target looks at."""

    def __init__(self, request: JobRequest, queue: Queue | None = None) -> None:
        self.request = request
        self.queue = queue
        self.keys: tuple[Key | None, ...] = keys_of(request)
        self.place = place_of(request)
        self.row = request_row(request)
        self.categories = category_row(request)

    def seen_of_queue(self, now: float) -> list[float]:
        if self.queue is None:
            return [np.nan] * len(QUEUE_FIGURES)
        return self.queue.seen_by(user=self.request.user, partition=self.request.partition, now=now)


def _observe_items(model: TargetModel, asked: Mapping[int, _Asked], log: LearningLog, values_log2: Array) -> None:
    """What ended steps of a workflow tell of their items; a run time does also where it taught nothing else."""
    runs = run_time_log2(log.end_time - numbers(log.jobs, "start_time"))
    for row, part in asked.items():
        if part.place is not None and np.isfinite(runs[row]):
            model.items.observe(*part.place, float(runs[row]), float(values_log2[row]))


def _learn(model: TargetModel, parts: Sequence[_Asked], said: "_Said", values_log2: Array, end_time: Array) -> None:
    """How good the predictions of ended jobs were, and their own figures; in the order of their ends."""
    failed = values_log2 > model.safe(said.calibrated, USUAL_RISK)
    model.observe_many(said.groups, said.members, said.combined, values_log2)
    for place, part in enumerate(parts):
        model.budget.observe(failed=bool(failed[place]), risk=USUAL_RISK)
        model.history.observe(part.keys, float(values_log2[place]), float(end_time[place]))
    model.update_members(said.features, values_log2)


def _features(model: TargetModel, parts: Sequence[_Asked]) -> Features:
    times = [part.request.submit_time or model.history.newest_time for part in parts]
    rows = [
        numeric_row(part.row, part.keys, model.history, now, model.items.statistics(part.place))
        for part, now in zip(parts, times, strict=True)
    ]
    queue = None
    if model.target.is_wait:
        queue = np.array([part.seen_of_queue(now) for part, now in zip(parts, times, strict=True)])
    return assemble(rows, [part.categories for part in parts], model.target, queue)


class _Said:
    """The distributions of one target for n jobs, log2."""

    def __init__(self, model: TargetModel, parts: Sequence[_Asked]) -> None:
        self.features = features = _features(model, parts)
        self.bound = _bounds(model, parts)
        self._unbounded = np.full(len(parts), np.nan)
        self._model = model
        self.groups = [model.target.group(float(anchor)) for anchor in features.anchor]
        #: Members' (m, n, levels), without the request as a bound, and with it.
        self._free = model.members(features, self._unbounded)
        self.members = model.bounded(self._free, self.bound)
        #: (n, levels)
        self.combined = model.combine(self.members, self.groups)
        self.calibrated = model.calibrate(self.combined, self.groups, self.bound)

    def curves(self) -> list[Curve]:
        """The risk of any request, for each job."""
        given = free = self._model.calibrate(self.combined, self.groups, self._unbounded)
        bounded = np.flatnonzero((self._free != self.members).any(axis=(0, 2)))
        if len(bounded):
            groups = [self.groups[row] for row in bounded]
            combined = self._model.combine(self._free[:, bounded], groups)
            free = given.copy()
            free[bounded] = self._model.calibrate(combined, groups, self._unbounded[bounded])
        return risk_curves(self._model.target, given, free, self.bound)


def _bounds(model: TargetModel, parts: Sequence[_Asked]) -> Array:
    column = model.target.request_column
    asked = [getattr(part.request, column) if column else None for part in parts]
    fewest = 0 if model.target.offset else 1e-9
    return np.array(
        [np.nan if value is None or value < fewest else model.target.to_log2(np.array(value)) for value in asked],
        dtype=np.float64,
    )


def _predict(model: TargetModel, parts: Sequence[_Asked], risk: float) -> list[TargetPrediction]:
    said = _Said(model, parts)
    safe = model.safe(said.calibrated, risk)
    lean = np.fmin(model.lean(said.combined, said.calibrated), safe)
    medians = model.target.from_log2(said.members[:, :, MEDIAN])
    curves = said.curves()
    predictions = []
    for row, part in enumerate(parts):
        weight = model.weights.of(said.groups[row])
        named = {name: (float(medians[place, row]), float(weight[place])) for place, name in enumerate(model.learners)}
        asked = None if np.isnan(said.bound[row]) else float(model.target.from_log2(said.bound[row]))
        evidence = evidence_of(model.target, model.history, part.keys, asked)
        predictions.append(
            prediction_of(
                model.target, said.calibrated[row], float(safe[row]), float(lean[row]), named, curves[row], evidence,
                asked,
            )
        )  # fmt: skip
    return predictions
