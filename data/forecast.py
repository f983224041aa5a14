"""A forecast of a training step's GPU memory: what is asked, and what is said; plain records that JSON can hold.

>>> ForecastSettings(precision="fp8")
Traceback (most recent call last):
...
crowdrun.data.errors.ConfigError: precision is 'fp8'; it must be one of bf16, fp32, fp64
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from crowdrun.data.errors import ConfigError
from crowdrun.data.task import PRECISIONS

#: Whose kernels and allocator are followed: a CUDA device's, or those of the CPU (which can be checked anywhere).
DEVICES = ("cuda", "cpu")
STRATEGIES = ("single", "ddp", "zero1", "fsdp")
#: What a byte can be of; `workspaces` are those that cuBLAS takes from torch's allocator.
PARTS = (
    "parameters", "buffers", "gradients", "optimizer_state", "activations", "inputs", "temporaries", "workspaces",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ForecastSettings:
    """How the step is taken."""

    #: fp32, bf16 under autocast, or fp64.
    precision: str = "fp32"
    #: Micro-batches a step; their gradients are added up.
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
    #: Whose memory is said; pipeline stages differ by rank.
    rank: int = 0

    def __post_init__(self) -> None:
        _one_of("precision", self.precision, PRECISIONS)
        _one_of("device", self.device, DEVICES)
        _one_of("strategy", self.strategy, STRATEGIES)
        for name in ("accumulation", "world_size"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)!r}; it must be a whole number of 1 or more")
        if not 0 <= self.rank < self.world_size:
            raise ConfigError(
                f"rank is {self.rank}; with {self.world_size} ranks it must be 0 to {self.world_size - 1}"
            )


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
