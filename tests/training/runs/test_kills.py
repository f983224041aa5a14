"""What is killed, stopped, hangs or lacks memory, really: by torchrun, on this machine."""

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch

from crowdrun.data.task import TrainingOptions
from crowdrun.training.checkpoints.folder import FOLDER, newest
from crowdrun.training.launch.base import Attempt
from crowdrun.training.rank_files import STOPPED_FILE
from crowdrun.training.ranks import Ranks
from crowdrun.training.runs.attempts import Listener
from crowdrun.training.runs.job_file import read_job
from crowdrun.training.runs.records import RunRecord
from crowdrun.training.strategies.settings import StrategySpec
from crowdrun.training.task_loader import load_task
from crowdrun.training.trainer import Trainer

sys.path.insert(0, str(Path(__file__).parents[1]))
import kills

Gone = Callable[[Iterable[int]], None]
STEP_S = "0.02"


@pytest.fixture(scope="module")
def without_kills(tmp_path_factory: pytest.TempPathFactory) -> RunRecord:
    folder = tmp_path_factory.mktemp("whole")
    return kills.train(folder, kills.without_checkpoints(kills.job(folder)), STEP_S_1="0.1")


def test_a_rank_that_the_others_wait_for_all_the_time_is_named(without_kills: RunRecord) -> None:
    assert without_kills.result
    assert without_kills.result["stragglers"] == [1]


def test_after_two_kills_the_run_ends_with_the_same_losses_and_lost_no_checkpoint(
    tmp_path: Path, without_kills: RunRecord
) -> None:
    killer = kills.Killer("in a save", "the agent", seed=1)
    record = kills.train(tmp_path, kills.job(tmp_path), listener=killer, STEP_S=STEP_S)
    assert [attempt.outcome.state for attempt in record.attempts] == ["FAILED", "FAILED", "COMPLETED"]
    assert {attempt.cause for attempt in record.attempts[:2]} == {"one of its processes was killed"}
    assert kills.told(record) == kills.told(without_kills)
    went_on = [kills.first_step(record.folder / f"attempt-{number}") for number in (2, 3)]
    # What was under way when it was killed may have been committed yet.
    assert all(0 <= step - at <= kills.EVERY_STEPS for step, at in zip(went_on, killer.killed_at, strict=True))


class StopsOnceSaved(Listener):
    """As a person who presses Ctrl-C when there is a checkpoint."""

    def __init__(self) -> None:
        self._attempt: Attempt | None = None

    def started(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def tick(self) -> None:
        if self._attempt and newest(self._attempt.folder.parent / FOLDER):
            raise KeyboardInterrupt


def test_a_run_that_a_person_stops_saves_and_can_be_taken_up_by_hand(tmp_path: Path, without_kills: RunRecord) -> None:
    stopped = kills.train(tmp_path, kills.job(tmp_path), listener=StopsOnceSaved(), STEP_S="0.3")
    assert (stopped.last.outcome.state, stopped.last.cause) == ("CANCELLED", "cancelled")
    step = json.loads((stopped.folder / "attempt-1" / STOPPED_FILE).read_text())["step"]
    record = kills.train(tmp_path, read_job(stopped.folder), resume=stopped.folder)
    assert kills.first_step(record.folder / "attempt-2") == step
    assert [attempt.outcome.state for attempt in record.attempts] == ["CANCELLED", "COMPLETED"]
    assert (record.run_id, kills.told(record)) == (stopped.run_id, kills.told(without_kills))


def test_a_rank_that_hangs_is_named_with_where_it_does_and_no_process_is_left(
    assert_gone: Gone, tmp_path: Path
) -> None:
    # The process of the tests may have children that stay (multiprocessing's resource tracker).
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    record = kills.train(tmp_path, kills.job(tmp_path, hang_s=8), STEP_S_1="1000")
    assert record.last.outcome.state == "FAILED"
    assert record.last.cause
    assert record.last.cause.startswith("rank 1 hung: no step for ")
    assert "in loss (" in record.last.cause
    assert "kill_task.py" in record.last.cause
    assert len(record.attempts) == 1
    assert_gone({process.pid for process in psutil.Process().children(recursive=True)} - before)


def test_a_step_without_memory_for_its_samples_is_tried_with_half_of_them(tmp_path: Path) -> None:
    job = kills.job(tmp_path)
    assert job.task
    options = replace(job.task.options, precision="fp64", epochs=2, extra={"plain": True})
    record = kills.train(tmp_path, replace(job, task=replace(job.task, options=options)), MOST_SAMPLES="2")
    assert [attempt.cause for attempt in record.attempts] == ["out of GPU memory", None]
    assert record.result
    assert record.result["options"]["micro_batch"] == 2
    losses = [line["loss"] for line in record.result["history"]]
    assert losses == pytest.approx(alone(options), abs=1e-6)


def alone(options: TrainingOptions) -> list[float]:
    """The losses of one process that has memory enough."""
    ranks = Ranks(rank=0, world_size=1, device=torch.device("cpu"))
    task = load_task(kills.TASK, work_dir=Path("/"))
    trainer = Trainer(task, options, ranks, StrategySpec())
    samples = task.data("train", options)
    return [trainer.train_epoch(samples, epoch=epoch)[1] for epoch in range(options.epochs)]
