"""The checkpoints of one training: from which it goes on, and when the next is saved."""

import time
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from crowdrun.data.errors import ConfigError
from crowdrun.training.checkpoints.agreement import Agreement
from crowdrun.training.checkpoints.folder import Marker, clean, newest
from crowdrun.training.checkpoints.options import CheckpointOptions
from crowdrun.training.checkpoints.random_numbers import random_state, set_random_state
from crowdrun.training.checkpoints.reader import read_checkpoint, weights_prefix
from crowdrun.training.checkpoints.saver import Saver
from crowdrun.training.checkpoints.stop import StoppedError, StopRequest
from crowdrun.training.position import Position
from crowdrun.training.ranks import Ranks
from crowdrun.training.trainer import Trainer

#: Options of a training that may be others when it goes on.
MAY_CHANGE = frozenset({"epochs", "micro_batch"})


def find(checkpoints: Path, ranks: Ranks, training: Mapping[str, Any]) -> tuple[Path, Marker] | None:
    """The newest whole checkpoint, the same on all ranks; what was left half-written is removed.

    Raises:
        ConfigError: it is of another training; says in what.
    """
    found: tuple[Path, Marker] | None = None
    if ranks.first:
        for folder in clean(checkpoints):
            print(f"removed {folder}: it was not written to its end", flush=True)
        found = newest(checkpoints)
    chosen: tuple[Path, Marker] | None = ranks.gather(found)[0]
    if chosen:
        _check(chosen[1].training, training, chosen[0])
    return chosen


def _check(before: Mapping[str, Any], now: Mapping[str, Any], folder: Path) -> None:
    flat = [{**table["options"], "task": table["target"], "strategy": table["strategy"]} for table in (before, now)]
    names = sorted((flat[0].keys() | flat[1].keys()) - MAY_CHANGE)
    other = [f"{n} {flat[0].get(n)!r}, not {flat[1].get(n)!r}" for n in names if flat[0].get(n) != flat[1].get(n)]
    if other:
        raise ConfigError(
            f"{folder} is of a training with {'; '.join(other)}; start a new run, or go on with what it was begun with"
        )


class Keeper:
    """Saves what a trainer knows, between two steps of it."""

    def __init__(
        self,
        trainer: Trainer,
        options: CheckpointOptions,
        checkpoints: Path,
        *,
        training: Mapping[str, Any],
        stop: StopRequest,
    ) -> None:
        self._trainer, self._options, self._training, self._stop = trainer, options, training, stop
        self._ranks = trainer.setup.ranks
        self._saver = Saver(checkpoints, self._ranks, keep=options.keep)
        self._agreement = Agreement(self._ranks)
        self._saved_s, self._saved_step = time.monotonic(), -1

    def go_on_from(self, folder: Path, marker: Marker, samples: Dataset[Any]) -> None:
        """Be where the training was when it saved this.

        Raises:
            CheckpointError: it cannot be read.
        """
        trainer, ranks = self._trainer, self._ranks
        strategy, same = trainer.strategy, marker.world_size == ranks.world_size
        strategy.warm_up(next(iter(strategy.shares(samples, epoch=0))))
        own = read_checkpoint(folder, marker, strategy, ranks, self._saver.group)
        for group, values in zip(strategy.optimizer.param_groups, own["groups"], strict=True):
            group.update(values)
        taken, loss_sum = marker.sums[ranks.rank] if same else _all_in_first(marker, ranks)
        trainer.position = Position.from_table(marker.position, samples=int(taken), loss_sum=loss_sum)
        if same:
            strategy.load_own_state(own["strategy"])
            trainer.position.step = own["step"]
        self._saved_step = trainer.position.step
        set_random_state(own["random"], ranks.device)
        if ranks.first:
            print(_told(folder, marker, trainer, same=same), flush=True)

    def after_step(self) -> None:
        """Save when it is time; leave when that is wanted.

        Raises:
            StoppedError: on all ranks, when all is saved.
        """
        if not self._trainer.strategy.in_step:
            return
        every = self._options.every_steps
        if every and self._trainer.position.step % every == 0:
            self._save()
        if self._agreement.due():
            self._agree()

    def after_epoch(self) -> None:
        """The same, also where ranks take different numbers of steps."""
        self._agree()

    def finish(self) -> None:
        """The last one, of the trained model."""
        self._save()
        self._saver.wait()

    def wait(self) -> None:
        """Until what was saved last is written."""
        self._saver.wait()

    def _wanted(self) -> bool:
        """The first rank's view: the newest is too old, and the one before it is written."""
        if self._saver.busy:
            return False
        age, steps = time.monotonic() - self._saved_s, self._trainer.position.step - self._saved_step
        every = self._options.every_steps if not self._trainer.strategy.in_step else None
        return (self._options.every_s or age + 1) <= age or (every or steps + 1) <= steps

    def _agree(self) -> None:
        wanted = self._wanted()
        agreed = self._agreement.agree(stop=self._stop.reason() is not None, save=wanted)
        if agreed.save or agreed.stop:
            self._save()
        if agreed.stop:
            self._saver.wait()
            raise StoppedError(self._stop.reason() or "another rank was told to")

    def _save(self) -> None:
        trainer, position = self._trainer, self._trainer.position
        if position.step == self._saved_step:
            return
        strategy, ranks = trainer.strategy, self._ranks
        prefix = weights_prefix(strategy, ranks.rank)
        # First: putting it together may change what follows (the workers of servers meet).
        tensors = {f"{prefix}{name}": value for name, value in strategy.state().items()}
        own = {
            "random": random_state(ranks.device),
            "groups": [
                {name: value for name, value in group.items() if name != "params"}
                for group in strategy.optimizer.param_groups
            ],
            "strategy": strategy.own_state(),
            "step": position.step,
        }
        marker = partial(
            Marker,
            position=position.to_table(spent_s=trainer.spent_s()),
            world_size=ranks.world_size,
            training=self._training,
            decided=dict(strategy.decisions()),
        )
        self._saver.save(tensors, own, marker, step=position.step, sums=(position.samples, position.loss_sum))
        self._saved_s, self._saved_step = time.monotonic(), position.step


def _all_in_first(marker: Marker, ranks: Ranks) -> tuple[float, float]:
    """The sums of an epoch so far, when other ranks go on with it."""
    if not ranks.first:
        return 0, 0.0
    return sum(one[0] for one in marker.sums), sum(one[1] for one in marker.sums)


def _told(folder: Path, marker: Marker, trainer: Trainer, *, same: bool) -> str:
    position = trainer.position
    text = f"going on from {folder}: epoch {position.epoch + 1}, step {position.step_in_epoch} of it"
    lost = [trainer.strategy.inexact(resized=not same)]
    if not same:
        text += f", saved by {marker.world_size} ranks"
        lost.append("random numbers (dropout) are others than without a break")
        if trainer.setup.options.division != "shuffled" and position.step_in_epoch:
            lost.append("the rest of this epoch is divided anew, so that samples come twice or not at all")
    return "; ".join([text, *(f"not exact: {one}" for one in lost if one)])
