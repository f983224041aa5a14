"""Checkpoints of one rank: when they are saved, and what happens where they cannot be."""

import re
import shutil
import signal
from collections import namedtuple
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from crowdrun.data.errors import CheckpointError, ConfigError
from crowdrun.data.task import TrainingOptions
from crowdrun.training.checkpoints.folder import committed, newest
from crowdrun.training.checkpoints.keeper import Keeper, find
from crowdrun.training.checkpoints.options import CheckpointOptions
from crowdrun.training.checkpoints.stop import StoppedError, StopRequest
from crowdrun.training.ranks import Ranks
from crowdrun.training.strategies.settings import StrategySpec
from crowdrun.training.task_loader import load_task
from crowdrun.training.trainer import Trainer

TASK = str(Path(__file__).parents[1] / "strategies" / "contract_task.py")
RANKS = Ranks(rank=0, world_size=1, device=torch.device("cpu"))
OPTIONS = TrainingOptions(batch_size=8, learning_rate=0.01)


def made(folder: Path, kept: CheckpointOptions, options: TrainingOptions = OPTIONS) -> tuple[Trainer, Keeper, Any]:
    task = load_task(TASK, work_dir=Path("/"))
    about = {"target": TASK, "options": asdict(options), "strategy": {"name": "ddp"}}
    found = find(folder, RANKS, about)
    trainer = Trainer(task, options, RANKS, StrategySpec())
    keeper = Keeper(trainer, kept, folder, training=about, stop=StopRequest(folder.parent / "stop"))
    samples = task.data("train", options)
    if found:
        keeper.go_on_from(*found, samples)
    return trainer, keeper, samples


def trained(folder: Path, kept: CheckpointOptions, epochs: int = 2, options: TrainingOptions = OPTIONS) -> Trainer:
    trainer, keeper, samples = made(folder, kept, options)
    for epoch in range(trainer.position.epoch, epochs):
        seen, loss = trainer.train_epoch(samples, epoch=epoch, after_step=keeper.after_step)
        trainer.end_epoch(samples=seen, loss=loss)
        keeper.after_epoch()
    keeper.finish()
    return trainer


def test_one_is_saved_after_so_many_steps_and_at_the_end_and_the_newest_stay(tmp_path: Path) -> None:
    trained(tmp_path / "c", CheckpointOptions(every_s=None, every_steps=3, keep=3))
    assert [folder.name for folder in committed(tmp_path / "c")] == [f"step-0000000{n}" for n in (8, 6, 3)]


def test_one_is_saved_when_the_newest_is_too_old(tmp_path: Path) -> None:
    trained(tmp_path / "c", CheckpointOptions(every_s=1e-6, keep=100))
    assert len(committed(tmp_path / "c")) > 1


def test_a_full_disk_means_a_warning_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    usage = namedtuple("usage", "total used free")(2**40, 2**40, 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    trainer = trained(tmp_path / "c", CheckpointOptions(every_steps=3))
    assert trainer.position.step == 8
    assert committed(tmp_path / "c") == []
    assert "warning: no checkpoint step-00000003" in (said := capsys.readouterr().out)
    assert "MB are needed; the training goes on" in said


def test_what_cannot_be_written_is_given_up_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("torch.distributed.checkpoint.filesystem.FileSystem.create_stream", refuse)
        trainer = trained(tmp_path / "c", CheckpointOptions(every_steps=3))
    assert trainer.position.step == 8
    assert "No space left on device; the training goes on" in capsys.readouterr().out
    assert list((tmp_path / "c").iterdir()) == []


def test_a_signal_saves_after_the_step_and_leaves(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGUSR1), signal.getsignal(signal.SIGTERM)
    trainer, keeper, samples = made(tmp_path / "c", CheckpointOptions())
    keeper._stop.listen()
    try:
        signal.raise_signal(signal.SIGUSR1)
        with pytest.raises(StoppedError, match="SIGUSR1"):
            trainer.train_epoch(samples, epoch=0, after_step=keeper.after_step)
    finally:
        signal.signal(signal.SIGUSR1, before[0])
        signal.signal(signal.SIGTERM, before[1])
    found = newest(tmp_path / "c")
    assert found
    assert found[1].step == trainer.position.step == 1


def test_more_epochs_are_the_same_training_and_another_batch_size_is_not(tmp_path: Path) -> None:
    trained(tmp_path / "c", CheckpointOptions())
    longer = trained(tmp_path / "c", CheckpointOptions(), epochs=3, options=replace(OPTIONS, epochs=9))
    assert [line["epoch"] for line in longer.position.history] == [1, 2, 3]
    said = "is of a training with batch_size 8, not 16; start a new run, or go on with what it was begun with"
    with pytest.raises(ConfigError, match=re.escape(said)):
        made(tmp_path / "c", CheckpointOptions(), replace(OPTIONS, batch_size=16))


def test_a_damaged_checkpoint_is_said_to_be_one(tmp_path: Path) -> None:
    trained(tmp_path / "c", CheckpointOptions())
    found = newest(tmp_path / "c")
    assert found
    next(found[0].glob("*.distcp")).write_bytes(b"")
    with pytest.raises(CheckpointError, match=r"step-00000008 cannot be read: .*; remove the folder to go on"):
        made(tmp_path / "c", CheckpointOptions())
