"""Ranks that really stand still, one a run: for the test of a few and the bench of many."""

from dataclasses import dataclass
from pathlib import Path

import kills

from crowdrun.data.task import TrainingOptions
from crowdrun.training.job import Job, TaskSpec
from crowdrun.training.runs.records import RunRecord
from crowdrun.training.strategies.settings import strategy_spec

TASK = str(Path(__file__).with_name("hang_task.py"))
#: After so long without a step; starting takes less.
HANG_S = 15.0
#: Once in each place under ddp with 2 ranks, and again with 3 or under what else communicates on the way.
PLACES = (
    "data", "forward", "loss", "backward", "hook", "native work in backward", "native read in backward", "optimizer",
    "frozen",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Hang:
    """Which rank stands still, where and when."""

    place: str
    strategy: str = "ddp"
    ranks: int = 2
    rank: int = 1
    step: int = 5


@dataclass(frozen=True, kw_only=True)
class Named:
    """What the run said."""

    cause: str
    #: From the moment that it stood still until the run was ended, s.
    after_s: float


def hang(folder: Path, one: Hang) -> Named:
    """Train until it hangs and is ended."""
    folder.mkdir()
    task = TaskSpec(
        target=TASK,
        options=TrainingOptions(epochs=50, batch_size=4 * one.ranks, learning_rate=0.01),
        strategy=strategy_spec(one.strategy),
        checkpoint=None,
        hang_s=HANG_S,
    )
    job = Job(name="hangs", command=("crowdrun", "run"), work_dir=folder, ranks=one.ranks, task=task)
    moment = folder / "moment"
    record: RunRecord = kills.train(
        folder, job, HANG_PLACE=one.place, HANG_RANK=str(one.rank), HANG_STEP=str(one.step), HANG_FILE=str(moment)
    )
    ended = record.last.outcome.end_time or 0.0
    return Named(cause=record.last.cause or "", after_s=ended - float(moment.read_text()))
