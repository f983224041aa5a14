"""The crowd: one model a target, trained on a log, that recommends for a job and learns from each job that ends."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd

from crowdrun.data.errors import ModelError, NotEnoughDataError
from crowdrun.data.job import Evidence, JobRequest, Recommendation, TargetPrediction
from crowdrun.data.queue_state import Queue
from crowdrun.predictor.asked import Asked
from crowdrun.predictor.ensemble import Ensemble, OfTarget, features_of
from crowdrun.predictor.explanation.evidence import evidence_of
from crowdrun.predictor.explanation.sentences import sentences
from crowdrun.predictor.features import Features
from crowdrun.predictor.fitting import fit_executor
from crowdrun.predictor.gpu_use import GpuUse, Used
from crowdrun.predictor.items import run_time_log2
from crowdrun.predictor.learning_log import LearningLog, in_end_order, numbers, worth_learning
from crowdrun.predictor.persistence.target_file import load_target, save_target
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.rehearsal import Rehearsal
from crowdrun.predictor.sizing import USUAL_RISK
from crowdrun.predictor.target import TARGETS
from crowdrun.predictor.target_model import FEWEST_JOBS, TargetModel
from crowdrun.predictor.target_settings import TargetSettings

#: Jobs that go through the arrays together: what they need stays small.
_TOGETHER = 256
CROWD_FILE, FIGURES_FILE = "crowd.json", "figures.json"
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
        #: Target -> how good it was in its rehearsal (`evaluation/model_figures.py`).
        self.figures: dict[str, Any] = {}
        #: What jobs kept busy of the GPUs that they held.
        self.gpu_use = GpuUse()
        self.model_id: str | None = None
        self._ensembles = Ensemble.all_of(self.models)

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
        judged: dict[str, Any] = {}
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
                judged[name] = rehearsal.figures()
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
        crowd = cls(models, abstained, summary)
        crowd.figures = judged
        crowd.gpu_use = GpuUse.of_log(log.jobs)
        return crowd

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
        parts = [Asked(request, queue) for request, queue in zip(requests, queues, strict=True)]
        answers = [_Answer() for _ in requests]
        for start in range(0, len(parts), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            for ensemble in self._ensembles:
                _answer(ensemble, parts[some], risk, answers[some], self.gpu_use)
        return [
            Recommendation(
                request=part.request, risk=risk,
                predictions={name: answer.predictions[name] for name in self.models if name in answer.predictions},
                abstained=self.abstained | answer.abstained,
                reasons=tuple(reason for name in self.models for reason in answer.reasons.get(name, ())),
                model_id=self.model_id,
            )
            for part, answer in zip(parts, answers, strict=True)
        ]  # fmt: skip

    def features(self, target: str, request: JobRequest, queue: Queue | None = None) -> Features:
        """What the members of a target look at for this request: one row."""
        return features_of([self.models[target]], [Asked(request, queue)])

    def observe(self, job: Mapping[str, Any]) -> None:
        """Learn from one job that ended (canonical columns): how good its prediction was, and its own figures."""
        self.observe_many([job])

    def observe_many(self, jobs: Sequence[Mapping[str, Any]]) -> None:
        """The same for jobs that ended meanwhile: none of them is predicted with what another of them teaches."""
        for job in jobs:
            self.gpu_use.observe_job(job)
        log = LearningLog.of(pd.DataFrame([dict(job) for job in jobs]))
        ended = in_end_order(log, np.flatnonzero(np.isfinite(log.end_time)))
        asked = {row: Asked(log.requests[row]) for row in ended.tolist()}
        if not asked:
            return
        for ensemble in self._ensembles:
            said = ensemble.ask(list(asked.values()))
            for place, model in enumerate(ensemble.models):
                _learn(model, log, asked, said.of_target(place))
            ensemble.renew()

    def save(self, folder: Path) -> None:
        """Write everything into an existing, empty folder: npz and JSON alone."""
        for name, model in self.models.items():
            save_target(model, folder / name)
        content = {"targets": list(self.models), "abstained": self.abstained, "summary": self.summary}
        (folder / CROWD_FILE).write_text(json.dumps(content, indent=1), "utf-8")
        self.gpu_use.save(folder)
        (folder / FIGURES_FILE).write_text(json.dumps(self.figures, allow_nan=False), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """The crowd that `save` wrote; neither scikit-learn, xgboost nor torch is imported.

        Raises:
            ModelError: a file is missing or cannot be read.
        """
        try:
            content = json.loads((folder / CROWD_FILE).read_text("utf-8"))
            models = {name: load_target(folder / name) for name in content["targets"]}
            crowd = cls(models, content["abstained"], content["summary"])
            crowd.gpu_use = GpuUse.load(folder)
            if (folder / FIGURES_FILE).exists():
                crowd.figures = json.loads((folder / FIGURES_FILE).read_text("utf-8"))
            return crowd
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(f"cannot read {folder / CROWD_FILE}: {error}; publish the model anew") from error


@dataclass(slots=True)
class _Answer:
    """What is said of one job: target -> prediction, sentences, or why nothing."""

    predictions: dict[str, TargetPrediction] = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    abstained: dict[str, str] = field(default_factory=dict)


def _answer(
    ensemble: Ensemble, parts: Sequence[Asked], risk: float, answers: Sequence[_Answer], gpu_use: GpuUse
) -> None:
    """Put what the targets of the ensemble say into the answers."""
    said = ensemble.ask(parts)
    told = list(said.figures(risk))
    for place, model in enumerate(ensemble.models):
        target = model.target
        of_target = told[place * len(parts) : (place + 1) * len(parts)]
        for part, answer, figures in zip(parts, answers, of_target, strict=True):
            closest = model.history.closest(part.keys)
            evidence = evidence_of(target, closest, figures.asked)
            if evidence and closest and target.whole:
                evidence = _with_use(evidence, gpu_use.of(part.keys[closest[0]]))
            if evidence is None:
                who = f"user {part.request.user}" if part.request.user else "this user"
                answer.abstained[target.name] = f"no ended job of {who} or the same group; keep your own request"
                continue
            answer.predictions[target.name] = prediction = figures.prediction(target, evidence)
            answer.reasons[target.name] = sentences(target, prediction, risk)
            if target.is_wait and part.queue is None:
                answer.reasons[target.name].append(QUEUE_UNSEEN)


def _with_use(evidence: Evidence, used: Used | None) -> Evidence:
    return replace(evidence, gpus_busy=used.busy, idle_gpuh=used.idle_gpuh) if used else evidence


def _learn(model: TargetModel, log: LearningLog, asked: Mapping[int, Asked], said: OfTarget) -> None:
    """How good the predictions of ended jobs were, and their own figures; in the order of their ends.

    asked: row of the log -> the job; said: of all of these, in their order.
    """
    values = log.values_log2(model.target)
    _observe_items(model, asked, log, values)
    rows = np.array(list(asked), dtype=np.intp)
    teaches = np.flatnonzero(~np.isnan(values[rows]))
    known = log.known_time(model.target)
    if not model.target.is_wait:
        # A wait is not judged: what the job saw of the queue is no longer known.
        _judge(model, said.rows(teaches), values[rows[teaches]])
    for row in sorted(rows[teaches].tolist(), key=lambda row: float(known[row])):
        model.history.observe(asked[row].keys, float(values[row]), float(known[row]))


def _judge(model: TargetModel, said: OfTarget, values_log2: Array) -> None:
    """Learn from jobs in the order of their ends how good their predictions were."""
    if not len(values_log2):
        return
    safe = model.safe(said.calibrated, USUAL_RISK)
    model.observe(said.ended(values_log2))
    model.observe_failures(safe, values_log2, said.bound, USUAL_RISK)
    model.update_members(said.features, values_log2)


def _observe_items(model: TargetModel, asked: Mapping[int, Asked], log: LearningLog, values_log2: Array) -> None:
    """What ended steps of a workflow tell of their items; a run time does also where it taught nothing else."""
    runs = run_time_log2(log.end_time - numbers(log.jobs, "start_time"))
    for row, part in asked.items():
        if part.place is not None and np.isfinite(runs[row]):
            model.items.observe(*part.place, float(runs[row]), float(values_log2[row]))
