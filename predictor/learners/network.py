"""A small network with embeddings of the categories, trained on the quantile loss (torch); evaluated with numpy."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from crowdrun.predictor.arrays import load_arrays
from crowdrun.predictor.features import CATEGORY_BUCKETS, CATEGORY_NAMES, Features
from crowdrun.predictor.learner import Joint, Learner
from crowdrun.predictor.learners.scaling import Scaling, Scalings
from crowdrun.predictor.panel import Panel, stack
from crowdrun.predictor.quantiles import LEVELS, Array
from crowdrun.predictor.settings import PartSettings, searched

if TYPE_CHECKING:
    from torch import Generator, Tensor

EMBEDDING = 4
HIDDEN = 64
BATCH = 256

#: Where the rows of each category begin in the one table of embeddings.
_OFFSETS = np.arange(len(CATEGORY_NAMES), dtype=np.int64) * CATEGORY_BUCKETS


@dataclass(frozen=True, kw_only=True)
class NetworkSettings(PartSettings):
    #: Gradient steps of a fit, whatever the number of jobs; a small log is seen more often.
    steps: int = searched(400, 100, 1500, log=True)
    learning_rate: float = searched(3e-3, 3e-4, 2e-2, log=True)
    weight_decay: float = searched(1e-3, 1e-5, 1e-1, log=True)


class Network(Learner):
    name = "network"
    fits_with = "torch"
    settings_type = NetworkSettings
    settings: NetworkSettings

    def fit(self, features: Features, target: Array) -> None:
        import torch

        generator = torch.Generator().manual_seed(self.seed)
        self._scaling = Scaling.of(features)
        numeric = torch.from_numpy(self._scaling.apply(features).astype(np.float32))
        categories = torch.from_numpy(features.categories + _OFFSETS)
        parameters = _initial(numeric.shape[1], target, generator)
        threads = torch.get_num_threads()
        # Matrices this small are slower with more threads, and crawl when other work shares the cores.
        torch.set_num_threads(1)
        try:
            values = torch.from_numpy(target.astype(np.float32))
            _train(parameters, numeric, categories, values, generator, self.settings)
        finally:
            torch.set_num_threads(threads)
        self._parameters = {name: value.detach().numpy() for name, value in parameters.items()}

    @classmethod
    def joint(cls, members: Sequence[Self]) -> Joint:
        return _Networks(members)

    def save(self, folder: Path) -> None:
        np.savez(folder / "network.npz", **self._parameters, **self._scaling.arrays())  # type: ignore[arg-type]

    @classmethod
    def load(cls, folder: Path, settings: PartSettings | None = None) -> Self:
        arrays: dict[str, NDArray[np.generic]] = load_arrays(folder / "network.npz")
        learner = cls(settings=settings)
        learner._scaling = Scaling.from_arrays(arrays)
        names = ("embedding", "w1", "b1", "w2", "b2", "w3", "b3")
        learner._parameters = {name: arrays[name].astype(np.float32) for name in names}
        return learner


class _Networks(Joint):
    def __init__(self, members: Sequence[Network]) -> None:
        self._scalings = Scalings([member._scaling for member in members])
        parameters = [
            {name: value.astype(np.float64) for name, value in member._parameters.items()} for member in members
        ]
        self._embedding, self._w2, self._w3 = (
            stack([one[name] for one in parameters]) for name in ("embedding", "w2", "w3")
        )
        self._b1, self._b2, self._b3 = (stack([one[name][None] for one in parameters]) for name in ("b1", "b2", "b3"))
        # The first layer in two: the numeric columns, and the embedded categories.
        self._w1 = np.stack([
            self._scalings.spread_out(one["w1"][: len(member._scaling.columns)], member._scaling)
            for one, member in zip(parameters, members, strict=True)
        ])  # fmt: skip
        self._w1_words = stack([one["w1"][-len(CATEGORY_NAMES) * EMBEDDING :] for one in parameters])

    def predict(self, panel: Panel) -> Array:
        words = self._embedding.take(panel.categories + _OFFSETS, axis=1)
        words = words.reshape(panel.targets, panel.jobs, len(CATEGORY_NAMES) * EMBEDDING)
        hidden = np.maximum(self._scalings.apply(panel) @ self._w1 + words @ self._w1_words + self._b1, 0)
        raw = np.maximum(hidden @ self._w2 + self._b2, 0) @ self._w3 + self._b3
        np.logaddexp(0, raw[..., 1:], out=raw[..., 1:])
        return raw.cumsum(axis=2).reshape(len(panel), -1)


def _initial(columns: int, target: Array, generator: "Generator") -> dict[str, "Tensor"]:
    """Parameters before the first step; `columns` is the number of numeric features."""
    import torch

    width = columns + len(CATEGORY_NAMES) * EMBEDDING
    sizes = {
        "embedding": (len(CATEGORY_NAMES) * CATEGORY_BUCKETS, EMBEDDING), "w1": (width, HIDDEN), "b1": (HIDDEN,),
        "w2": (HIDDEN, HIDDEN), "b2": (HIDDEN,), "w3": (HIDDEN, len(LEVELS)), "b3": (len(LEVELS),),
    }  # fmt: skip
    parameters = {
        name: torch.randn(size, generator=generator) * (2 / size[0]) ** 0.5 if len(size) > 1 else torch.zeros(size)
        for name, size in sizes.items()
    }
    parameters["embedding"] *= 0.1
    # The last layer starts at the quantiles of the whole log: an untrained network is already a fair guess.
    parameters["w3"] *= 0.1
    start = np.quantile(target, LEVELS)
    steps = np.log(np.expm1(np.maximum(np.diff(start), 1e-3)))
    parameters["b3"] = torch.from_numpy(np.concatenate([start[:1], steps]).astype(np.float32))
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    return parameters


def _train(
    parameters: dict[str, "Tensor"], numeric: "Tensor", categories: "Tensor", values: "Tensor",
    generator: "Generator", settings: NetworkSettings,
) -> None:  # fmt: skip
    """So many steps on random batches, with the pinball loss of `quantiles.pinball`."""
    import torch

    optimizer = torch.optim.AdamW(parameters.values(), settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings.learning_rate, total_steps=settings.steps)
    levels = torch.from_numpy(LEVELS.astype(np.float32))
    for _ in range(settings.steps):
        chosen = torch.randint(len(values), (BATCH,), generator=generator)
        error = values[chosen, None] - _forward(parameters, numeric[chosen], categories[chosen])
        loss = torch.maximum(levels * error, (levels - 1) * error).mean()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()


def _forward(parameters: dict[str, "Tensor"], numeric: "Tensor", categories: "Tensor") -> "Tensor":
    """Quantiles of a batch: the first, and steps above it that are never negative, so that they cannot cross."""
    import torch

    words = parameters["embedding"][categories].flatten(1)
    hidden = torch.relu(torch.cat([numeric, words], 1) @ parameters["w1"] + parameters["b1"])
    hidden = torch.relu(hidden @ parameters["w2"] + parameters["b2"])
    raw = hidden @ parameters["w3"] + parameters["b3"]
    return torch.cat([raw[:, :1], torch.nn.functional.softplus(raw[:, 1:])], 1).cumsum(1)
