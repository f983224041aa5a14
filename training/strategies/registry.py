"""The strategies by name. Adding one = one file and a row here and in `settings.py`; it passes the contract suite.

A rank imports its own alone: all of them together take as long to import as torch itself.
"""

from collections.abc import Mapping
from importlib import import_module

from crowdrun.data.errors import ConfigError
from crowdrun.training.strategies.base import Setup, Strategy
from crowdrun.training.strategies.settings import StrategySpec
from crowdrun.training.strategies.single import Single

#: Name -> module of this package and class.
STRATEGIES: Mapping[str, tuple[str, str]] = {
    "single": ("single", "Single"),
    "ddp": ("ddp", "Ddp"),
    "fsdp": ("fsdp", "Fsdp"),
    "hsdp": ("fsdp", "Hsdp"),
    "zero1": ("zero1", "Zero1"),
    "tensor": ("tensor", "TensorParallel"),
    "compressed": ("compressed", "Compressed"),
    "hierarchical": ("hierarchical", "Hierarchical"),
    "local-sgd": ("local_sgd", "LocalSgd"),
    "server": ("server", "Server"),
    "pipeline": ("pipeline", "Pipeline"),
    "hybrid": ("pipeline", "Hybrid"),
}
#: The same for a strategy whose copies are divided otherwise than its row says: name and `inside` -> module and class.
OTHERWISE: Mapping[tuple[str, str], tuple[str, str]] = {("hybrid", "tensor"): ("tensor", "TensorCopies")}


def strategy_class(spec: StrategySpec) -> type[Strategy]:
    """The class of a row.

    >>> strategy_class(StrategySpec(name="ddp")).__name__
    'Ddp'
    """
    module, kind = OTHERWISE.get((spec.name, getattr(spec.settings, "inside", "")), STRATEGIES[spec.name])
    found: type[Strategy] = getattr(import_module(f"crowdrun.training.strategies.{module}"), kind)
    return found


def make_strategy(spec: StrategySpec, setup: Setup) -> Strategy:
    """The strategy of this rank; with one rank there is nothing to divide, and it is `single`.

    Raises:
        ConfigError: it does not fit the ranks or the model; says why.
    """
    if setup.ranks.world_size == 1:
        return Single(setup, spec.settings)
    if spec.name == "single":
        raise ConfigError(f"the strategy single has one rank, not {setup.ranks.world_size}; take ddp, or ranks = 1")
    return strategy_class(spec)(setup, spec.settings)
