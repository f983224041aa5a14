"""Fitting the members of a crowd side by side: on threads here, or wherever an executor runs them.

A fit is a function of plain arrays, so that it can as well run in another process or on another machine
(`scale_out/`). Members learn from the newest jobs alone: what a fit costs then does not grow with the log.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.features import Features
from crowdrun.predictor.learner import Learner
from crowdrun.predictor.quantiles import Array
from crowdrun.predictor.settings import PartSettings

#: Jobs that a member is fitted on at most, the newest. What older ones would add is in docs/log.md.
NEWEST_FITTED = 20_000
#: Fits at a time on this machine.
THREADS = 2


@dataclass(frozen=True)
class Fitting:
    """Members that are being fitted: name -> the future that gives one."""

    members: Mapping[str, "Future[Learner]"]
    #: The highest value that they learn from, log2.
    highest_log2: float

    def result(self) -> dict[str, Learner]:
        """The fitted members, once all are."""
        return {name: future.result() for name, future in self.members.items()}


_EXECUTOR: ContextVar[Executor | None] = ContextVar("executor of fits", default=None)


@contextmanager
def fits_run_by(executor: Executor) -> Iterator[None]:
    """Every fit that begins within is run by this executor, however deep in the training it is asked for."""
    token = _EXECUTOR.set(executor)
    try:
        yield
    finally:
        _EXECUTOR.reset(token)


@contextmanager
def fit_executor() -> Iterator[Executor]:
    """What runs fits: the executor of `fits_run_by`, else threads of this process.

    The libraries leave the interpreter's lock while they fit, so threads are enough.
    """
    chosen = _EXECUTOR.get()
    if chosen is not None:
        yield chosen
        return
    with ThreadPoolExecutor(max_workers=THREADS) as threads:
        yield threads


def begin(
    learners: Mapping[str, tuple[type[Learner], PartSettings]], seed: int, features: Features, relative: Array,
    rows: NDArray[np.intp], executor: Executor,
) -> Fitting:  # fmt: skip
    """Begin to fit learners on some rows, oldest end first. relative: (n,) log2 of the target over the anchor."""
    # Imported one after the other: two threads in one import trip over each other.
    for learner, _ in learners.values():
        if learner.fits_with:
            import_module(learner.fits_with)
    newest = rows[-NEWEST_FITTED:]
    given = (features.rows(newest), relative[newest])
    members = {
        name: executor.submit(fit_member, kind, seed, *given, settings=settings)
        for name, (kind, settings) in learners.items()
    }
    return Fitting(members, float((relative + features.anchor)[newest].max()))


def fit_member(
    learner: type[Learner], seed: int, features: Features, relative: Array, settings: PartSettings | None = None
) -> Learner:
    """One member, fitted."""
    member = learner(seed, settings)
    member.fit(features, relative)
    return member
