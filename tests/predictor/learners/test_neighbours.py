"""The nearest remembered jobs, against a search that looks at each of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowdrun.predictor.features import Features
from crowdrun.predictor.learners.distinct_points import DistinctPoints, Points
from crowdrun.predictor.learners.neighbours import Neighbours, NeighboursSettings
from crowdrun.predictor.quantiles import LEVELS, Array


def plainly(points: Points, target: Array, asked: Points, count: int) -> Array:
    """(m, levels) the quantiles of the values of the nearest, one job and one remembered job after the other."""
    said = []
    for one in asked.astype(np.float64):
        squared = [float(((one - other) ** 2).sum()) for other in points.astype(np.float64)]
        values = np.sort(target[np.argsort(squared, kind="stable")[:count]])
        said.append(np.interp(LEVELS * count - 0.5, np.arange(count), values))
    return np.array(said)


def repeated(features: Features, times: int) -> Features:
    """Each job so many times in a row, as those of an array are."""
    return features.rows(np.repeat(np.arange(len(features)), times))


@pytest.mark.parametrize("remembered", [120, 4000])
def test_a_prediction_is_that_of_a_plain_search_whatever_was_learnt_online(remembered: int, lesson: Any) -> None:
    learner = Neighbours(settings=NeighboursSettings(neighbours=20, remembered=remembered))
    learner.fit(lesson.features.rows(slice(500)), lesson.target[:500])
    for start in range(500, 800, 20):
        learner.update(lesson.features.rows(slice(start, start + 20)), lesson.target[start : start + 20])
    newest = slice(max(0, 800 - remembered), 800)
    points = np.hstack(learner._blocks(lesson.features.rows(newest)))
    asked = np.hstack(learner._blocks(lesson.features.rows(slice(800, 850))))
    expected = plainly(points, lesson.target[newest], asked, 20)
    np.testing.assert_allclose(learner.predict(lesson.features.rows(slice(800, 850))), expected, atol=1e-6)


def test_jobs_that_look_the_same_count_each(lesson: Any, tmp_path: Path) -> None:
    """Three of each, so that a multiple of three is never parted: which of equals is taken would be arbitrary."""
    learner = Neighbours(settings=NeighboursSettings(neighbours=30))
    target = np.repeat(lesson.target[:600], 3)
    learner.fit(repeated(lesson.features.rows(slice(600)), 3), target)
    points = np.hstack(learner._blocks(repeated(lesson.features.rows(slice(600)), 3)))
    asked = np.hstack(learner._blocks(lesson.features.rows(slice(600, 640))))
    expected = plainly(points, target, asked, 30)
    np.testing.assert_allclose(learner.predict(lesson.features.rows(slice(600, 640))), expected, atol=1e-6)
    learner.save(tmp_path)
    again = Neighbours.load(tmp_path, learner.settings)
    np.testing.assert_allclose(again.predict(lesson.features.rows(slice(600, 640))), expected, atol=1e-6)


def test_distances_are_those_of_each_point_and_forgotten_points_are_gone() -> None:
    rng = np.random.default_rng(0)
    everything = rng.integers(0, 3, (400, 4)).astype(np.float32)
    known = DistinctPoints.of(everything[:100])
    for start in range(100, 400, 7):
        known = known.with_newer(everything[start : start + 7], newest=100)
        left = everything[: start + 7][-100:]
        np.testing.assert_array_equal(known.points, left)
        asked = rng.normal(size=(3, 4)).astype(np.float32)
        squared = ((asked[:, None] - left) ** 2).sum(axis=2) - (asked**2).sum(axis=1)[:, None]
        np.testing.assert_allclose(known.distances(asked), squared, atol=1e-4)
