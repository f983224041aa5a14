"""Fitting the members of a crowd side by side: on threads here, or wherever an executor runs them.

A fit is a function of plain arrays, so that it can as well run in another process or on another machine
(`scale_out/`). Members learn from the newest jobs alone: what a fit costs then does not grow with the log.
"""

from collections.abc import Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import import_module

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.features import Features
from crowdrun.predictor.learner import Learner
from crowdrun.predictor.quantiles import Array

#: Jobs that a member is fitted on at most, the newest. What older ones would add is in docs/log.md.
NEWEST_FITTED = 20_000
#: Fits at a time on this machine.
THREADS = 2


@dataclass(frozen=True)
class Fitting:
    """Members that are being fitted: name -> the future that gives one."""

    members: Mapping[str, "Future[Learner]"]

    def result(self) -> dict[str, Learner]:
        """The fitted members, once all are."""
        return {name: future.result() for name, future in self.members.items()}


def local_executor() -> Executor:
    """Threads of this process: the libraries leave the interpreter's lock while they fit."""
    return ThreadPoolExecutor(max_workers=THREADS)


def begin(
    learners: Mapping[str, type[Learner]], seed: int, features: Features, relative: Array, rows: NDArray[np.intp],
    executor: Executor,
) -> Fitting:  # fmt: skip
    """Begin to fit learners on some rows, oldest end first. relative: (n,) log2 of the target over the anchor."""
    # Imported one after the other: two threads in one import trip over each other.
    for learner in learners.values():
        if learner.fits_with:
            import_module(learner.fits_with)
    newest = rows[-NEWEST_FITTED:]
    given = (features.rows(newest), relative[newest])
    return Fitting({name: executor.submit(fit_member, kind, seed, *given) for name, kind in learners.items()})


def fit_member(learner: type[Learner], seed: int, features: Features, relative: Array) -> Learner:
    """One member, fitted."""
    member = learner(seed)
    member.fit(features, relative)
    return member
