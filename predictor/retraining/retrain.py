"""One retraining: a challenger is trained, it and the champion are taken through the newest segment, and each target
goes to the better one.

    |-- what the champion was trained on --|------------- what ended since then --------------|
    |------------ what the challenger is trained on -------------|-- the newest segment -------|
                                                                  both predict, both learn

What is published has been through the segment as it was judged there: it is not fitted once more, because that model
would be another one, which nobody has judged.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.retraining.contest import Verdict, judge
from crowdrun.predictor.retraining.follow import Course, Said, follow
from crowdrun.predictor.target_settings import TargetSettings

#: Jobs of the newest segment: half of what is new, within these.
FEWEST_IN_SEGMENT, MOST_IN_SEGMENT = 200, 3000
Progress = Callable[[str, float], None]
Settings = Mapping[str, TargetSettings]


@dataclass(frozen=True, kw_only=True)
class Retrained:
    """What came of it."""

    #: What is to be published; None: the champion stays.
    crowd: Crowd | None
    #: The sentence that says so.
    why: str
    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    #: The judged segment: jobs, and the times of the first and last submission.
    segment: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "published": self.crowd is not None, "why": self.why, "segment": dict(self.segment),
            "targets": {name: verdict.to_json() for name, verdict in self.verdicts.items()},
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Trainer:
    """Trains crowds on the past and takes them through the newest segment."""

    #: Canonical columns: all ended jobs, and those that ended since the champion was trained.
    jobs: pd.DataFrame
    news: pd.DataFrame
    #: The first submission of the newest segment, UTC epoch seconds.
    first: float
    seed: int
    progress: Progress

    @property
    def past(self) -> pd.DataFrame:
        """What ended before the segment."""
        return self.jobs[self.jobs["end_time"] <= self.first]

    @property
    def course(self) -> Course:
        """The jobs of the segment, and those that were running when it began."""
        return Course.of(self.news[self.news["end_time"] > self.first], judged_from=self.first)

    def trained(self, settings: Settings, name: str) -> tuple[Crowd, dict[str, Said]]:
        """A crowd trained on the past, after the segment, and what it said there."""
        crowd = Crowd.train(self.past, seed=self.seed, settings=settings, progress=_named(self.progress, name))
        return crowd, follow(crowd, self.course, lambda share: self.progress(f"{name} is judged", share))

    def taken_through(self, champion: Crowd) -> dict[str, Said]:
        """What a champion said in the segment, which learns from all news; it is another one afterwards."""
        course = Course.of(self.news, judged_from=self.first)
        said = follow(champion, course, lambda share: self.progress("champion is judged", share))
        in_segment = course.log.end_time > self.first
        return {name: one.rows(in_segment) for name, one in said.items()}


def segment_start(news: pd.DataFrame, known_until: float | None) -> float | None:
    """The first submission of the newest segment, UTC epoch seconds; None when too little is new.

    Jobs that were submitted before the champion's newest, `known_until`, are news to it, but no fair test: it knows
    their time.
    """
    submitted = np.sort(news["submit_time"].to_numpy(np.float64))
    fresh = submitted[submitted > (-np.inf if known_until is None else known_until)]
    if len(fresh) < FEWEST_IN_SEGMENT:
        return None
    return float(fresh[-int(np.clip(len(fresh) // 2, FEWEST_IN_SEGMENT, MOST_IN_SEGMENT))])


def first_model(jobs: pd.DataFrame, *, settings: Settings, seed: int, progress: Progress) -> Retrained:
    """A crowd with nothing to beat, trained on everything.

    Raises:
        NotEnoughDataError: no target has enough labelled jobs.
    """
    crowd = Crowd.train(jobs, seed=seed, settings=settings, progress=progress)
    return Retrained(crowd=crowd, why="published: there was nothing to be better than")


def retrain(trainer: Trainer, champion: Crowd, settings: Settings) -> Retrained:
    """Let a challenger with these settings meet the champion, which is another one afterwards.

    Raises:
        NotEnoughDataError: the challenger has too few labelled jobs.
    """
    challenger, by_challenger = trainer.trained(settings, "challenger")
    log = trainer.course.log
    verdicts = judge(log, trainer.taken_through(champion), by_challenger)
    times = log.submit_time[log.submit_time >= trainer.first]
    segment = {"jobs": len(times), "first_submit_time": trainer.first, "last_submit_time": float(times.max())}
    won = [name for name, verdict in verdicts.items() if verdict.replaces]
    if not won:
        why = "not published: the challenger is not better for any target"
        return Retrained(crowd=None, why=why, verdicts=verdicts, segment=segment)
    crowd = _joined(champion, challenger, verdicts)
    crowd.summary |= {"jobs": len(trainer.jobs), "last_submit_time": segment["last_submit_time"]}
    kept = [name for name in verdicts if name not in won]
    rest = f"; {', '.join(kept)} stay the champion's" if kept else ""
    why = f"published: better for {', '.join(won)}{rest}"
    return Retrained(crowd=crowd, why=why, verdicts=verdicts, segment=segment)


def gain(trainer: Trainer, settings: Settings) -> dict[str, Verdict]:
    """Target -> how these settings do against the defaults in the newest segment."""
    _, by_defaults = trainer.trained({}, "defaults")
    _, by_chosen = trainer.trained(settings, "settings that were found")
    return judge(trainer.course.log, by_defaults, by_chosen, whose="the defaults'")


def _joined(champion: Crowd, challenger: Crowd, verdicts: Mapping[str, Verdict]) -> Crowd:
    """Each target from the better one."""
    sources = {name: challenger if verdict.replaces else champion for name, verdict in verdicts.items()}
    models = {name: source.models[name] for name, source in sources.items()}
    abstained = {name: why for name, why in challenger.abstained.items() if name not in models}
    figures = {name: source.summary["targets"][name] for name, source in sources.items()}
    settings = {name: model.settings.to_json() for name, model in models.items()}
    crowd = Crowd(models, abstained, {**challenger.summary, "targets": figures, "settings": settings})
    crowd.figures = {name: source.figures[name] for name, source in sources.items() if name in source.figures}
    return crowd


def _named(progress: Progress, name: str) -> Progress:
    return lambda doing, share: progress(f"{name}: {doing}", share)
