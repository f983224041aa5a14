"""What each strategy can be told, in the [strategy] table of a job file. Imports no torch: the command line reads it.

>>> strategy_spec({"name": "server", "mode": "stale-synchronous", "bound": 2}).settings
ServerSettings(mode='stale-synchronous', bound=2)
>>> strategy_spec("pipelined")
Traceback (most recent call last):
...
crowdrun.data.errors.ConfigError: strategy is 'pipelined'; it must be one of auto, compressed, ddp, fsdp, \
hierarchical, hsdp, hybrid, local-sgd, pipeline, server, single, tensor, zero1
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from crowdrun.data.errors import ConfigError
from crowdrun.data.pipeline.names import SCHEDULES


@dataclass(frozen=True, kw_only=True)
class NoSettings:
    """Nothing can be told."""


@dataclass(frozen=True, kw_only=True)
class HsdpSettings:
    """Shards inside a group of ranks, copies between the groups."""

    #: Ranks that share one copy; None is the ranks of a node, or half of all where there is one node.
    shard_ranks: int | None = None

    def __post_init__(self) -> None:
        _whole("shard_ranks", self.shard_ranks, least=1)


@dataclass(frozen=True, kw_only=True)
class CompressedSettings:
    """How gradients are made smaller before they are sent."""

    #: one-bit, fp16, bf16, powersgd or top-k.
    method: str = "one-bit"
    #: Of PowerSGD's two factors.
    rank: int = 2
    #: Of the gradients, that top-k sends.
    share: float = 0.01

    def __post_init__(self) -> None:
        _one_of("method", self.method, ("one-bit", "fp16", "bf16", "powersgd", "top-k"))
        _whole("rank", self.rank, least=1)
        if not (isinstance(self.share, int | float) and 0 < self.share <= 1):
            raise ConfigError(f"share is {self.share!r}; it must be above 0 and at most 1")


@dataclass(frozen=True, kw_only=True)
class HierarchicalSettings:
    """How gradients are added up inside a node and between nodes."""

    #: auto (measured), flat, leader or torus.
    route: str = "auto"
    #: Ranks of a node; None asks torchrun, and takes half of all where there is one node.
    node_ranks: int | None = None

    def __post_init__(self) -> None:
        _one_of("route", self.route, ("auto", "flat", "leader", "torus"))
        _whole("node_ranks", self.node_ranks, least=1)


@dataclass(frozen=True, kw_only=True)
class LocalSgdSettings:
    """When ranks that train by themselves meet."""

    #: Steps between two averages.
    period: int = 4
    #: Federated: the part of the training set that each rank keeps for itself, one figure a rank; they meet when each
    #: has seen its own once, and count by their samples. None divides each batch instead.
    private_shares: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        _whole("period", self.period, least=1)
        if self.private_shares is None:
            return
        if not isinstance(self.private_shares, Sequence) or not all(
            isinstance(one, int | float) and one > 0 for one in self.private_shares
        ):
            raise ConfigError(f"private_shares is {self.private_shares!r}; it must be a list of numbers above 0")
        object.__setattr__(self, "private_shares", tuple(self.private_shares))


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """How far workers may be apart that share parameters by servers."""

    #: synchronous, asynchronous or stale-synchronous.
    mode: str = "synchronous"
    #: Steps that a worker may be ahead of the slowest, in the mode stale-synchronous.
    bound: int = 3

    def __post_init__(self) -> None:
        _one_of("mode", self.mode, ("synchronous", "asynchronous", "stale-synchronous"))
        _whole("bound", self.bound, least=0)


@dataclass(frozen=True, kw_only=True)
class PipelineSettings:
    """How batches go through the stages of a pipeline."""

    #: gpipe, 1f1b, interleaved or zero-bubble.
    schedule: str = "1f1b"
    #: Parts of a batch that are under way at once.
    micro_batches: int = 4

    def __post_init__(self) -> None:
        _one_of("schedule", self.schedule, SCHEDULES)
        _whole("micro_batches", self.micro_batches, least=1)


@dataclass(frozen=True, kw_only=True)
class HybridSettings(PipelineSettings):
    """Copies of a model that several ranks train together."""

    #: How these ranks divide a copy: pipeline (its layers) or tensor (its matrices).
    inside: str = "pipeline"
    #: Ranks of one copy, the one or the other; None is the ranks of a node, or half of all where there is one node.
    pipeline_ranks: int | None = None
    tensor_ranks: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("inside", self.inside, ("pipeline", "tensor"))
        _whole("pipeline_ranks", self.pipeline_ranks, least=1)
        _whole("tensor_ranks", self.tensor_ranks, least=1)
        other = {"pipeline": "tensor_ranks", "tensor": "pipeline_ranks"}[self.inside]
        if getattr(self, other) is not None:
            raise ConfigError(
                f"{other} is {getattr(self, other)}, but a copy is divided by {self.inside}; leave it out"
            )


#: Left to the plan: ddp, or fsdp where only shards fit.
AUTO = "auto"
SETTINGS: Mapping[str, type[Any]] = {
    "single": NoSettings,
    "ddp": NoSettings,
    "fsdp": NoSettings,
    "hsdp": HsdpSettings,
    "zero1": NoSettings,
    "tensor": NoSettings,
    "compressed": CompressedSettings,
    "hierarchical": HierarchicalSettings,
    "local-sgd": LocalSgdSettings,
    "server": ServerSettings,
    "pipeline": PipelineSettings,
    "hybrid": HybridSettings,
}


@dataclass(frozen=True, kw_only=True)
class StrategySpec:
    """A strategy by name, with its settings."""

    name: str = "ddp"
    settings: Any = field(default_factory=NoSettings)

    def to_table(self) -> dict[str, Any]:
        """What `strategy_spec` reads."""
        return {"name": self.name, **asdict(self.settings)}


def strategy_spec(value: Any) -> StrategySpec:
    """The strategy that a name, or a table with a name and settings, describes.

    Raises:
        ConfigError: no such strategy, or a setting that it does not have or that cannot be used; says which.
    """
    table = {"name": value} if isinstance(value, str) else value
    if not isinstance(table, Mapping):
        raise ConfigError(f'strategy is {value!r}; it must be a name, or a table [strategy] with name = "ddp"')
    name = str(table.get("name"))
    if name not in {AUTO, *SETTINGS}:
        raise ConfigError(f"strategy is {name!r}; it must be one of {', '.join(sorted({AUTO, *SETTINGS}))}")
    kind, told = SETTINGS.get(name, NoSettings), {key: value for key, value in table.items() if key != "name"}
    unknown = sorted(told.keys() - {f.name for f in fields(kind)})
    if unknown:
        allowed = ", ".join(sorted(f.name for f in fields(kind))) or "none"
        raise ConfigError(f"{', '.join(unknown)} is no setting of the strategy {name}; allowed are {allowed}")
    return StrategySpec(name=name, settings=kind(**told))


def _one_of(name: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")


def _whole(name: str, value: Any, *, least: int) -> None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
        raise ConfigError(f"{name} is {value!r}; it must be a whole number of {least} or more")
