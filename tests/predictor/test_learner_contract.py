"""The contract of `predictor/learner.py`, held against every row of the table of learners."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crowdrun.data.errors import ModelError
from crowdrun.data.job import JobRequest
from crowdrun.predictor.features import (
    CATEGORY_BUCKETS,
    CATEGORY_NAMES,
    Features,
    assemble,
    category_row,
    numeric_row,
    request_row,
)
from crowdrun.predictor.history import History, keys_of
from crowdrun.predictor.learner import Learner
from crowdrun.predictor.learners.registry import LEARNERS
from crowdrun.predictor.quantiles import LEVELS, Array, pinball
from crowdrun.predictor.target import TARGETS_BY_NAME

LEARNED, ASKED = slice(0, 600), slice(600, 900)
#: Two predictions of the same thing: sums in another order differ in the last bits of float32.
SAME = 1e-4

pytestmark = pytest.mark.parametrize("name", list(LEARNERS))


@pytest.fixture(scope="module")
def fitted(lesson: Any) -> Mapping[str, Learner]:
    """Each learner, fitted once; tests do not change them."""
    learners = {name: learner(seed=3) for name, learner in LEARNERS.items()}
    for learner in learners.values():
        learner.fit(lesson.rows(LEARNED).features, lesson.rows(LEARNED).target)
    return learners


def assert_keeps_the_contract(prediction: Array, rows: int) -> None:
    assert prediction.shape == (rows, len(LEVELS))
    assert prediction.dtype == np.float64
    assert np.isfinite(prediction).all()
    assert (np.diff(prediction, axis=1) >= 0).all()


def features_of(*requests: JobRequest) -> Features:
    """What is known of requests that nothing is remembered of."""
    rows = [numeric_row(request_row(one), keys_of(one), History(), one.submit_time or 0.0) for one in requests]
    return assemble(rows, [category_row(one) for one in requests], TARGETS_BY_NAME["mem_mb"])


def test_its_name_is_its_key_in_the_table(name: str) -> None:
    assert LEARNERS[name].name == name


def test_quantiles_are_finite_and_non_decreasing(name: str, fitted: Mapping[str, Learner], lesson: Any) -> None:
    assert_keeps_the_contract(fitted[name].predict(lesson.features), len(lesson.features))


def test_it_tells_more_than_the_quantiles_of_all_jobs(name: str, fitted: Mapping[str, Learner], lesson: Any) -> None:
    learned, asked = lesson.rows(LEARNED), lesson.rows(ASKED)
    everything = np.tile(np.quantile(learned.target + learned.features.anchor, LEVELS), (len(asked.target), 1))
    value = asked.target + asked.features.anchor
    told = fitted[name].predict(asked.features) + asked.features.anchor[:, None]
    assert pinball(told, value).mean() < 0.5 * pinball(everything, value).mean()


def test_users_and_names_that_were_never_seen(name: str, fitted: Mapping[str, Learner]) -> None:
    stranger = JobRequest(
        user="nobody", group="none", account="new", partition="moon", job_name="Ω-1", command="./a.out --id 7" * 99,
        submit_time=4e9, req_mem_mb=1e12, req_cpus=10**6, req_nodes=10**5, req_gpus=10**5, timelimit_s=1e9,
        params_m=1e9, batch_size=10**9,
    )  # fmt: skip
    assert_keeps_the_contract(fitted[name].predict(features_of(stranger)), 1)


def test_every_bucket_of_the_categories(name: str, fitted: Mapping[str, Learner], lesson: Any) -> None:
    some = lesson.features.rows(slice(0, CATEGORY_BUCKETS))
    bucket = np.tile(np.arange(CATEGORY_BUCKETS, dtype=np.int32)[:, None], (1, len(CATEGORY_NAMES)))
    every = Features(numeric=some.numeric, categories=bucket, anchor=some.anchor)
    assert_keeps_the_contract(fitted[name].predict(every), CATEGORY_BUCKETS)


def test_a_request_that_says_nothing(name: str, fitted: Mapping[str, Learner]) -> None:
    assert_keeps_the_contract(fitted[name].predict(features_of(JobRequest())), 1)


def test_learning_from_requests_that_say_nothing(name: str, lesson: Any) -> None:
    learner = LEARNERS[name]()
    learner.fit(features_of(*[JobRequest()] * 20), np.linspace(-1, 1, 20))
    assert_keeps_the_contract(learner.predict(lesson.features.rows(ASKED)), 300)


def test_no_rows_are_answered_with_no_rows(name: str, fitted: Mapping[str, Learner], lesson: Any) -> None:
    assert_keeps_the_contract(fitted[name].predict(lesson.features.rows(slice(0, 0))), 0)


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_one_job_is_enough_to_fit(name: str, rows: int, lesson: Any) -> None:
    learner = LEARNERS[name]()
    learner.fit(lesson.features.rows(slice(0, rows)), lesson.target[:rows])
    assert_keeps_the_contract(learner.predict(lesson.features.rows(ASKED)), 300)


def test_a_target_that_never_varied_is_predicted(name: str, lesson: Any) -> None:
    learner = LEARNERS[name]()
    # Relative to the anchor, as it is when every job of the log used the same: 0 throughout.
    learner.fit(lesson.rows(LEARNED).features, np.zeros(600))
    prediction = learner.predict(lesson.rows(LEARNED).features)
    assert_keeps_the_contract(prediction, 600)
    if name not in {"recent", "own_range"}:
        # These know the past from the features alone, and in these the past did vary.
        assert np.abs(prediction).max() < 0.1


def test_the_same_seed_gives_the_same_prediction(name: str, fitted: Mapping[str, Learner], lesson: Any) -> None:
    again = LEARNERS[name](seed=3)
    again.fit(lesson.rows(LEARNED).features, lesson.rows(LEARNED).target)
    asked = lesson.features.rows(ASKED)
    np.testing.assert_array_equal(again.predict(asked), fitted[name].predict(asked))


def test_a_job_alone_is_predicted_as_among_others(name: str, fitted: Mapping[str, Learner], lesson: Any) -> None:
    together = fitted[name].predict(lesson.features)
    for row in range(0, len(lesson.features), 29):
        alone = fitted[name].predict(lesson.features.rows(slice(row, row + 1)))
        np.testing.assert_allclose(alone[0], together[row], atol=SAME, err_msg=f"row {row}")


def test_the_order_of_the_jobs_does_not_matter(name: str, fitted: Mapping[str, Learner], lesson: Any) -> None:
    order = np.random.default_rng(0).permutation(len(lesson.features))
    shuffled = fitted[name].predict(lesson.features.rows(order))
    np.testing.assert_allclose(shuffled, fitted[name].predict(lesson.features)[order], atol=SAME)


def test_predicting_changes_neither_the_features_nor_the_learner(
    name: str, fitted: Mapping[str, Learner], lesson: Any
) -> None:
    asked = lesson.features.rows(ASKED)
    numeric, categories, anchor = asked.numeric.copy(), asked.categories.copy(), asked.anchor.copy()
    first = fitted[name].predict(asked)
    np.testing.assert_array_equal(first, fitted[name].predict(asked))
    np.testing.assert_array_equal(numeric, asked.numeric)
    np.testing.assert_array_equal(categories, asked.categories)
    np.testing.assert_array_equal(anchor, asked.anchor)


def test_what_is_saved_is_loaded_without_pickle(
    name: str, fitted: Mapping[str, Learner], lesson: Any, tmp_path: Path
) -> None:
    fitted[name].save(tmp_path)
    for file in tmp_path.iterdir():
        assert file.suffix in {".npz", ".json", ".ubj"}
        if file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as arrays:
                assert all(arrays[key].dtype != object for key in arrays)
    loaded = LEARNERS[name].load(tmp_path)
    np.testing.assert_allclose(loaded.predict(lesson.features), fitted[name].predict(lesson.features), atol=1e-3)


LOAD_AND_PREDICT = """
import sys
for blocked in ("sklearn", "xgboost", "torch"):
    sys.modules[blocked] = None
from pathlib import Path
import numpy as np
from crowdrun.predictor.features import Features
from crowdrun.predictor.learners.registry import LEARNERS

name, folder = sys.argv[1], Path(sys.argv[2])
features = Features(**np.load(folder / "asked.npz", allow_pickle=False))
np.save(folder / "said.npy", LEARNERS[name].load(folder / "model").predict(features))
"""


def test_a_new_process_without_the_training_libraries_predicts_the_same(
    name: str, fitted: Mapping[str, Learner], lesson: Any, tmp_path: Path
) -> None:
    asked = lesson.features.rows(ASKED)
    np.savez(tmp_path / "asked.npz", numeric=asked.numeric, categories=asked.categories, anchor=asked.anchor)
    (tmp_path / "model").mkdir()
    fitted[name].save(tmp_path / "model")
    command = [sys.executable, "-W", "error", "-c", LOAD_AND_PREDICT, name, str(tmp_path)]
    subprocess.run(command, check=True, env=os.environ, timeout=120)
    np.testing.assert_allclose(np.load(tmp_path / "said.npy"), fitted[name].predict(asked), atol=1e-3)


@pytest.mark.parametrize("damage", ["missing", "truncated", "not an npz"])
def test_a_damaged_file_is_a_model_error(name: str, damage: str, fitted: Mapping[str, Learner], tmp_path: Path) -> None:
    fitted[name].save(tmp_path)
    for file in tmp_path.iterdir():
        if damage == "missing":
            file.unlink()
        elif damage == "truncated":
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        else:
            file.write_bytes(b"\x93PICKLE")
    with pytest.raises(ModelError, match="crowdrun retrain"):
        LEARNERS[name].load(tmp_path)


def test_it_goes_on_after_an_update(name: str, fitted: Mapping[str, Learner], lesson: Any, tmp_path: Path) -> None:
    fitted[name].save(tmp_path)
    learner = LEARNERS[name].load(tmp_path)
    for start in range(600, 660, 20):
        some = lesson.rows(slice(start, start + 20))
        learner.update(some.features, some.target)
        assert_keeps_the_contract(learner.predict(lesson.features), len(lesson.features))
