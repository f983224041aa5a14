"""A forecast of a training step's GPU memory: what is asked, and what is said; plain records that JSON can hold.

>>> ForecastSettings(precision="fp8")
Traceback (most recent call last):
...
crowdrun.data.errors.ConfigError: precision is 'fp8'; it must be one of bf16, fp32, fp64
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from crowdrun.data.errors import ConfigError
from crowdrun.data.pipeline.names import SCHEDULES
from crowdrun.data.task import PRECISIONS

#: Whose kernels and allocator are followed: a CUDA device's, or those of the CPU (which can be checked anywhere).
DEVICES = ("cuda", "cpu")
STRATEGIES = ("single", "ddp", "zero1", "fsdp", "pipeline", "hybrid")
#: Those whose ranks hold different layers.
PIPELINES = ("pipeline", "hybrid")
#: What a byte can be of; `workspaces` are those that cuBLAS takes from torch's allocator.
PARTS = (
    "parameters", "buffers", "gradients", "optimizer_state", "activations", "inputs", "temporaries", "workspaces",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ForecastSettings:
    """How the step is taken."""

    #: fp32, bf16 under autocast, or fp64.
    precision: str = "fp32"
    #: Micro-batches a step, whose gradients are added up; of a pipeline, so many times `micro_batches`.
    accumulation: int = 1
    #: False: the forward pass alone, without gradients.
    training: bool = True
    #: Recompute each of the model's repeated blocks in the backward pass (torch.utils.checkpoint).
    checkpointing: bool = False
    device: str = "cuda"
    strategy: str = "single"
    world_size: int = 1
    #: ddp and zero1: the gradients lie in the buckets (DDP's gradient_as_bucket_view).
    bucket_views: bool = False
    #: Whose memory is said. None: of a pipeline, the rank that holds most; else the first.
    rank: int | None = None
    #: pipeline and hybrid: the order of forward and backward passes, and the parts of a batch that go through.
    schedule: str = "1f1b"
    micro_batches: int = 4
    #: hybrid: ranks of one pipeline; None is half of all.
    pipeline_ranks: int | None = None

    def __post_init__(self) -> None:
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("device", self.device, DEVICES)
        _one_of("strategy", self.strategy, STRATEGIES)
        _one_of("schedule", self.schedule, SCHEDULES)
        for name in ("accumulation", "world_size", "micro_batches"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be a whole number of 1 or more")
        if self.rank is not None and not 0 <= self.rank < self.world_size:
            raise ConfigError(
                f"rank is {self.rank}; with {self.world_size} ranks it must be 0 to {self.world_size - 1}"
            )
        if self.is_pipeline and not self.training:
            raise ConfigError(f"the strategy {self.strategy} is forecast in training alone; take another for inference")
        if self.length < 1 or self.world_size % self.length:
            raise ConfigError(
                f"{self.world_size} ranks cannot be divided into pipelines of {self.length}; take pipeline_ranks that "
                "divide them"
            )

    @property
    def is_pipeline(self) -> bool:
        """Whether ranks hold different layers."""
        return self.strategy in PIPELINES

    @property
    def place(self) -> int:
        """The rank that is traced."""
        return self.rank or 0

    @property
    def length(self) -> int:
        """Ranks that work on the same samples.

        >>> ForecastSettings(strategy="ddp", world_size=8).length
        1
        >>> [ForecastSettings(strategy=name, world_size=8).length for name in PIPELINES]
        [8, 4]
        """
        if self.strategy == "hybrid":
            return max(1, self.world_size // 2) if self.pipeline_ranks is None else self.pipeline_ranks
        return self.world_size if self.is_pipeline else 1

    @property
    def pieces(self) -> int:
        """Parts in which the samples of a rank come in a step."""
        return self.accumulation * (self.micro_batches if self.is_pipeline else 1)

    def micro_batch(self, batch_size: int) -> int:
        """Samples that a rank takes at once of a batch of all ranks together.

        >>> ForecastSettings(strategy="ddp", world_size=4, accumulation=2).micro_batch(64)
        8
        >>> ForecastSettings(strategy="hybrid", world_size=4, pipeline_ranks=2, micro_batches=8).micro_batch(64)
        4
        """
        return math.ceil(batch_size / (self.world_size // self.length * self.pieces))


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"{name} is {value!r}; it must be one of {', '.join(allowed)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModuleMemory:
    """What one module holds at the peak, without its children, and its children."""

    #: Its own name in its parent, empty for the model.
    name: str
    #: Its class.
    kind: str
    #: Part -> bytes, only those above 0.
    own: Mapping[str, int] = field(default_factory=dict)
    children: tuple["ModuleMemory", ...] = ()

    @property
    def nbytes(self) -> int:
        """Bytes of the module and all below it."""
        return sum(self.own.values()) + sum(child.nbytes for child in self.children)

    @property
    def parts(self) -> Mapping[str, int]:
        """Part -> bytes, of the module and all below it."""
        total: dict[str, int] = {}
        for _, one in self.walk():
            for part, nbytes in one.own.items():
                total[part] = total.get(part, 0) + nbytes
        return total

    def walk(self, depth: int = 0) -> Iterator[tuple[int, "ModuleMemory"]]:
        """This module and all below it, each with its depth, parents first."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class RankPeak:
    """The peak of one rank of a pipeline, MB."""

    rank: int
    #: The first and the last layer of each of its stages.
    layers: str
    allocated_mb: float
    reserved_mb: float
    device_mb: float
    #: Of what is allocated: what stays between two steps.
    kept_mb: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """The peak of one training step on one GPU; MB are 2^20 bytes."""

    settings: ForecastSettings
    #: Elements of the parameters, each once.
    parameters: int
    #: Peak of the tensors, as `torch.cuda.max_memory_allocated` counts them: exact, from the trace.
    allocated_mb: float
    #: Peak of what torch's allocator holds for them (`max_memory_reserved`): simulated.
    reserved_mb: float
    #: Peak of the whole card (`nvidia-smi`): reserved and what lies outside torch's allocator; learned.
    device_mb: float
    #: Whether a GPU has measured what `device_mb` adds, and which.
    device_basis: str
    #: Part of PARTS -> MB at the peak of allocated; they sum up to it.
    split: Mapping[str, float]
    #: Where the peak is: the step (1, or 2 where the optimiser's state is there from the start) and its phase.
    peak_step: int
    peak_phase: str
    #: The parts at the peak, by module.
    tree: ModuleMemory
    #: What a reader should know of this forecast.
    notes: tuple[str, ...] = ()
    #: What measurements are learned by (predictor/gpu_memory/learned/features.py): name -> MB, or a number of.
    features: Mapping[str, float] = field(default_factory=dict)
    #: The ranks of one pipeline, where all were asked for; what is said above is of the one that holds most.
    each_rank: tuple[RankPeak, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The record as what `json` writes."""
        return asdict(self)


@dataclass(frozen=True, kw_only=True, slots=True)
class Remedy:
    """One way to make a batch fit, and what it costs."""

    name: str
    settings: ForecastSettings
    #: Samples that one GPU takes at once.
    micro_batch: int
    #: The whole card's peak, with the margin of the risk.
    needed_mb: float
    fits: bool
    #: In words: what it costs in time, GPUs or exactness.
    cost: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """Whether a batch fits into a card, and what would."""

    limit_mb: float
    risk: float
    #: Samples that one GPU was to take at once, and what that needs with the margin of the risk.
    micro_batch: int
    needed_mb: float
    fits: bool
    #: The largest that fits; 0 where not even one sample does.
    largest_micro_batch: int
    #: Cheapest first; empty where the batch fits.
    remedies: tuple[Remedy, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The record as what `json` writes."""
        return asdict(self)
