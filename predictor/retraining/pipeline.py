"""The retraining as a whole: from the job history and the model in use to a published model, or why there is none."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crowdrun.data.errors import ConfigError, ModelError
from crowdrun.data.store import JobStore
from crowdrun.data.unit_guard import Finding
from crowdrun.predictor.crowd import Crowd
from crowdrun.predictor.persistence import registry
from crowdrun.predictor.persistence.manifest import Manifest
from crowdrun.predictor.retraining.attempt import Attempt
from crowdrun.predictor.retraining.contest import Verdict
from crowdrun.predictor.retraining.follow import Course
from crowdrun.predictor.retraining.last_look import LastLook
from crowdrun.predictor.retraining.material import Material, new_jobs
from crowdrun.predictor.retraining.retrain import (
    FEWEST_IN_SEGMENT,
    Progress,
    Retrained,
    Settings,
    Trainer,
    first_model,
    gain,
    retrain,
    segment_start,
)
from crowdrun.predictor.retraining.search import Searched, search
from crowdrun.predictor.retraining.triggers import Limits, Situation, Watched, first_that_fires
from crowdrun.predictor.retraining.watch import watch
from crowdrun.predictor.target_settings import TargetSettings


@dataclass(frozen=True, kw_only=True)
class Champion:
    """The model in use."""

    models_dir: Path
    model_id: str
    manifest: Manifest

    @classmethod
    def current(cls, models_dir: Path, complain: Callable[[str], None]) -> "Champion | None":
        """The current model, or the last good one before it; None when there is none. Complains of damage."""
        try:
            model_id = registry.good_id(models_dir, complain)
        except ModelError as error:
            if registry.list_models(models_dir):
                complain(f"{error}; what is trained now has nothing to beat")
            return None
        champion = cls(models_dir=models_dir, model_id=model_id, manifest=registry.describe(models_dir, model_id))
        try:
            _ = champion.settings
        except ConfigError as error:
            complain(f"model {model_id} is of another crowdrun: {error}; what is trained now has nothing to beat")
            return None
        return champion

    def load(self) -> Crowd:
        """Anew: a crowd that is taken through jobs is another one afterwards."""
        return registry.load(self.models_dir, self.model_id)

    @property
    def settings(self) -> Settings:
        """How its targets are set, for those that come after it."""
        known = self.manifest.summary.get("settings", {})
        return {name: TargetSettings.from_json(values) for name, values in known.items()}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a person may ask of one retraining."""

    seed: int = 0
    #: Of searching for settings.
    minutes: float | None = None
    #: Without a contest.
    force: bool = False


@dataclass(frozen=True, kw_only=True)
class Done:
    """What came of a retraining."""

    #: None when nothing was published.
    model_id: str | None
    report: Mapping[str, Any]
    #: Of the crowd that was published.
    summary: Mapping[str, Any]
    kept_aside: Sequence[Finding]

    def lines(self) -> Iterator[str]:
        """The report for a person."""
        yield str(self.report["why"])
        for name, verdict in self.report["targets"].items():
            yield f"{name}: {verdict['outcome']}: {verdict['why']}"
        for name, found in self.report.get("search", {}).items():
            yield f"{name}: {_search_line(found)}"


def needed(store: JobStore, champion: Champion | None, limits: Limits, progress: Progress) -> tuple[bool, list[str]]:
    """Whether there is a reason to retrain, and what each trigger said up to the first that fires; the look is noted.

    Raises:
        StoreError, ModelError: the store cannot be read, or the models folder not written.
    """
    if champion is None:
        return True, ["there is no model in use"]
    made = champion.manifest.made_at
    last = Attempt.last(champion.models_dir)
    if last and last.when < made:
        # Of a model before this one, or of one that was published in another way.
        last = None
    position = last.store_position if last else champion.manifest.store_position or 0
    since = last.when if last else made

    def look() -> Watched:
        if not watched:
            material = Material.read(store, after=champion.manifest.store_position)
            course = Course.of(material.news)
            newest = new_jobs(store, position)
            watched.append(watch(champion.load(), course, newest=newest, progress=lambda x: progress("watch", x)))
        return watched[0]

    watched: list[Watched] = []
    situation = Situation(new_jobs=new_jobs(store, position), age_s=time.time() - since, watch=look)
    trigger, said = first_that_fires(situation, limits)
    LastLook.of(
        when=time.time(), model_id=champion.model_id, fired=trigger.name if trigger else None, said=said,
        watched=watched[0] if watched else None,
    ).write(champion.models_dir)  # fmt: skip
    return trigger is not None, said


def run(store: JobStore, models_dir: Path, champion: Champion | None, options: Options, progress: Progress) -> Done:
    """Retrain, publish what is better, and note the attempt.

    Raises:
        NotEnoughDataError, StoreError, ModelError: nothing was published; the model in use stays.
    """
    material = Material.read(store, after=champion.manifest.store_position if champion else None)
    known_until = champion.manifest.summary.get("last_submit_time") if champion else None
    first = segment_start(material.news, known_until)
    settings, report = dict(champion.settings) if champion else {}, {}
    trainer = None
    if first is not None:
        trainer = Trainer(jobs=material.jobs, news=material.news, first=first, seed=options.seed, progress=progress)
    if options.minutes and trainer:
        found = search(trainer.past, minutes=options.minutes, seed=options.seed, progress=progress)
        gained = gain(trainer, {name: one.settings for name, one in found.items()})
        # What fits the past best need not fit what comes: on the jobs that it never saw it must be better as well.
        settings |= {name: one.settings for name, one in found.items() if name in gained and gained[name].replaces}
        report["search"] = _search_report(found, gained)
    made = _made(material, champion, trainer, settings, options, progress)
    report |= made.to_json() | {
        "champion": champion.model_id if champion else None, "kept_aside": [str(one) for one in material.kept_aside]
    }  # fmt: skip
    model_id = None
    if made.crowd:
        made.crowd.summary |= {"retraining": report}
        model_id = registry.publish(made.crowd, models_dir, store_position=material.position)
    Attempt(when=time.time(), store_position=material.position, published=model_id, report=report).write(models_dir)
    return Done(
        model_id=model_id, report=report, summary=made.crowd.summary if made.crowd else {},
        kept_aside=material.kept_aside,
    )  # fmt: skip


def _made(
    material: Material, champion: Champion | None, trainer: Trainer | None, settings: Settings, options: Options,
    progress: Progress,
) -> Retrained:  # fmt: skip
    if champion is None or options.force:
        return first_model(material.jobs, settings=settings, seed=options.seed, progress=progress)
    if trainer is None:
        return Retrained(
            crowd=None,
            why=f"not published: a new model is judged on at least {FEWEST_IN_SEGMENT} jobs that were submitted after "
            "those of the model in use, and there are fewer; --force publishes without",
        )
    return retrain(trainer, champion.load(), settings)


def _search_report(found: Mapping[str, Searched], gained: Mapping[str, Verdict]) -> dict[str, Any]:
    return {
        name: one.to_json()
        | {
            "on_the_newest_segment": gained[name].to_json() if name in gained else None,
            "used": name in gained and gained[name].replaces,
        }
        for name, one in found.items()
    }


def _search_line(found: Mapping[str, Any]) -> str:
    if found["default_loss"] is None:
        return "the search had no time to judge the defaults even once; they stay"
    past = found["chosen_loss"] / found["default_loss"]
    unseen = found["on_the_newest_segment"] or {"outcome": "not judged", "why": "too little of it is in the segment"}
    return (
        f"{found['trials']} settings tried; on the past {past:.3f} of the defaults' loss; on the newest segment, which "
        f"the search did not see: {unseen['outcome']}: {unseen['why']}; {'used' if found['used'] else 'not used'}"
    )
