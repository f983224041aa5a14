"""Chooses members, their settings and what they look at for a log, within a budget of time (optuna).

Every choice is judged by a replay of the past (`predictor/replay.py`): trained on what had ended, scored by the pinball
loss of the calibrated distributions on what came, over the later part of it. The newest segment is never looked at:
there the crowd with the settings that were chosen meets one with the defaults, and that gain is the one to believe:
settings are used only where it is tested (`contest.py`), because what fits the past best may fit what comes no better.
The defaults are the first that is tried, so nothing that is worse than they are on the past is ever chosen.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crowdrun.data.errors import ConfigError
from crowdrun.predictor.feature_sets import FEATURE_SETS
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.learning_log import LearningLog, worth_learning
from crowdrun.predictor.quantiles import pinball
from crowdrun.predictor.replay import replay
from crowdrun.predictor.settings import Range, ranges
from crowdrun.predictor.sizing import USUAL_RISK
from crowdrun.predictor.target import TARGETS, Target
from crowdrun.predictor.target_model import FEWEST_JOBS
from crowdrun.predictor.target_settings import PARTS, TargetSettings

if TYPE_CHECKING:
    from optuna import Trial

#: Fits of a replay, and the share of its submissions, the oldest, that is not scored.
REFITS, NOT_SCORED = 4, 0.4
#: Jobs of the past that are replayed, the newest.
MOST_REPLAYED = 20_000
Progress = Callable[[str, float], None]


class _OutOfTimeError(Exception):
    """Ends a trial in the middle."""


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What was chosen for one target."""

    settings: TargetSettings
    trials: int
    #: Mean pinball loss on the past, log2: of the defaults, None when there was no time for them, and of the choice.
    default_loss: float | None
    chosen_loss: float | None

    def to_json(self) -> dict[str, Any]:
        return {
            "settings": self.settings.to_json(), "trials": self.trials, "default_loss": self.default_loss,
            "chosen_loss": self.chosen_loss,
        }  # fmt: skip


def search(
    past: pd.DataFrame, *, minutes: float, seed: int = 0, progress: Progress | None = None
) -> dict[str, Searched]:
    """Target -> what was chosen; the targets that the log can teach share the time evenly.

    past: ended jobs in canonical columns, without the newest segment. The time is a hard limit but for the fit that is
    going on when it ends.

    Raises:
        ConfigError: optuna is not installed.
    """
    log = LearningLog.of(past.nlargest(MOST_REPLAYED, "submit_time"))
    targets = [target for target in TARGETS if worth_learning(log, target, FEWEST_JOBS) is None]
    began, found = time.monotonic(), {}
    for place, target in enumerate(targets):
        until = began + 60 * minutes * (place + 1) / len(targets)

        def tell(doing: str, name: str = target.name) -> None:
            if progress:
                progress(f"search {name}: {doing}", min(1.0, (time.monotonic() - began) / (60 * minutes)))

        found[target.name] = _search_target(log, target, until, seed, tell)
    return found


def _search_target(log: LearningLog, target: Target, until: float, seed: int, tell: Callable[[str], None]) -> Searched:
    optuna = _optuna()
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial(_defaults())

    def objective(trial: "Trial") -> float:
        tell(f"trial {trial.number + 1}{_best(study)}")
        settings = _suggested(trial)
        if settings is None:
            raise optuna.TrialPruned
        try:
            return _loss(
                log, target, settings, seed, _stopper(until, lambda: tell(f"trial {trial.number + 1}{_best(study)}"))
            )
        except _OutOfTimeError:
            raise optuna.TrialPruned from None

    study.optimize(objective, timeout=max(0.0, until - time.monotonic()))
    done = [trial for trial in study.trials if trial.value is not None]
    if not done or done[0].number:
        return Searched(settings=TargetSettings(), trials=len(done), default_loss=None, chosen_loss=None)
    best = study.best_trial
    settings = TargetSettings() if best.number == 0 else _settings_of(best.params)
    return Searched(settings=settings, trials=len(done), default_loss=done[0].value, chosen_loss=best.value)


def _best(study: Any) -> str:
    done = [trial.value for trial in study.trials if trial.value is not None]
    return f", best {min(done) / done[0]:.3f} of the defaults' loss" if done else ""


def _stopper(until: float, tell: Callable[[], None]) -> Callable[[float], None]:
    """A progress callback that ends a replay whose next fit would not be done in time, going by the longest so far."""
    last, longest = time.monotonic(), 0.0

    def check(share: float) -> None:
        nonlocal last, longest
        del share
        now = time.monotonic()
        last, longest = now, max(longest, now - last)
        tell()
        if now + longest > until:
            raise _OutOfTimeError

    return check


def _loss(
    log: LearningLog, target: Target, settings: TargetSettings, seed: int, check: Callable[[float], None]
) -> float:
    replayed = replay(log, target, refits=REFITS, risk=USUAL_RISK, seed=seed, settings=settings, progress=check)
    scored = replayed.predicted & log.measured(target) & (np.arange(len(log)) >= NOT_SCORED * len(log))
    if not scored.any():
        raise _OutOfTimeError
    return float(pinball(replayed.calibrated[scored], replayed.value_log2[scored]).mean())


def _suggested(trial: "Trial") -> TargetSettings | None:
    """None when no member is left."""
    members = tuple(name for name in LEARNERS if trial.suggest_categorical(f"use.{name}", [True, False]))
    if not members:
        return None
    parts = {}
    for part, kind in PARTS.items():
        if part in members or part not in LEARNERS:
            default = kind().to_json()
            parts[part] = {
                name: _one(trial, f"{part}.{name}", span, whole=isinstance(default[name], int))
                for name, span in ranges(kind).items()
            }
    hidden = tuple(name for name in FEATURE_SETS if not trial.suggest_categorical(f"see.{name}", [True, False]))
    return TargetSettings(members=members, parts=parts, hidden=hidden)


def _one(trial: "Trial", name: str, span: Range, *, whole: bool) -> float:
    if whole:
        return trial.suggest_int(name, int(span.low), int(span.high), log=span.log)
    return trial.suggest_float(name, span.low, span.high, log=span.log)


def _defaults() -> dict[str, Any]:
    """The parameters of the trial that has the defaults."""
    values = {f"{part}.{name}": value for part, kind in PARTS.items() for name, value in kind().to_json().items()}
    return values | {f"use.{name}": True for name in LEARNERS} | {f"see.{name}": True for name in FEATURE_SETS}


def _settings_of(parameters: Mapping[str, Any]) -> TargetSettings:
    members = tuple(name for name in LEARNERS if parameters[f"use.{name}"])
    parts: dict[str, dict[str, float]] = {}
    for name, value in parameters.items():
        part, _, setting = name.partition(".")
        if part not in {"use", "see"}:
            parts.setdefault(part, {})[setting] = value
    return TargetSettings(
        members=members, parts=parts, hidden=tuple(name for name in FEATURE_SETS if not parameters[f"see.{name}"])
    )


def _optuna() -> ModuleType:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError(
            f"--search needs optuna ({error}); install it with: pip install 'crowdrun[search]'"
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
