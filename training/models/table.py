"""The built-in tasks by name. Adding one = one file and one row. Imports no torch: the command line reads it.

>>> BUILT_IN["resnet-18"].module
'crowdrun.training.models.resnet'
>>> task_named("resnet-18", {"side": 64}).options
{'depth': 18, 'side': 64}
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, kw_only=True)
class BuiltIn:
    """A task that crowdrun brings along."""

    #: With the five functions of a task; what builds the network is its `model`.
    module: str
    #: What the name stands for, among the task's [options].
    options: Mapping[str, Any] = field(default_factory=dict)
    #: Fields of TrainingOptions that suit it, where the job file does not say.
    training: Mapping[str, Any] = field(default_factory=dict)


_MODELS = "crowdrun.training.models"

BUILT_IN: Mapping[str, BuiltIn] = {
    "alexnet": BuiltIn(module=f"{_MODELS}.alexnet", training={"learning_rate": 1e-4}),
    "bilstm": BuiltIn(module=f"{_MODELS}.bilstm"),
    "char-lstm": BuiltIn(module=f"{_MODELS}.char_lstm", training={"batch_size": 50, "learning_rate": 2e-3}),
    "cifar-net": BuiltIn(module=f"{_MODELS}.cifar_net", training={"batch_size": 128}),
    "digits": BuiltIn(module=f"{_MODELS}.digits", training={"epochs": 10, "batch_size": 64, "learning_rate": 4e-3}),
    "gpt2": BuiltIn(module=f"{_MODELS}.gpt2", training={"batch_size": 8, "learning_rate": 3e-4}),
    "inception-v3": BuiltIn(module=f"{_MODELS}.inception"),
    "lenet": BuiltIn(module=f"{_MODELS}.lenet", training={"epochs": 5, "batch_size": 64, "learning_rate": 2e-3}),
    "matrix-power": BuiltIn(module=f"{_MODELS}.matrix_power", training={"epochs": 10}),
    "resnet-18": BuiltIn(module=f"{_MODELS}.resnet", options={"depth": 18}),
    "resnet-50": BuiltIn(module=f"{_MODELS}.resnet", options={"depth": 50}),
    "resnet-152": BuiltIn(module=f"{_MODELS}.resnet", options={"depth": 152}),
    "thin-resnet": BuiltIn(module=f"{_MODELS}.thin_resnet", training={"optimizer": "sgd", "learning_rate": 0.1}),
    "unet": BuiltIn(module=f"{_MODELS}.unet", training={"batch_size": 16}),
    "vgg-16": BuiltIn(module=f"{_MODELS}.vgg", training={"learning_rate": 1e-4}),
}


def task_named(name: str, options: Mapping[str, Any]) -> BuiltIn:
    """A row of the table with further [options] of the task; they go before the row's own."""
    return replace(BUILT_IN[name], options={**BUILT_IN[name].options, **options})
