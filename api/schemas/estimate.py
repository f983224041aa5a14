"""A model whose GPU memory is asked for, and what is told of it. The worker that traces reads and writes the same."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from crowdrun.api.schemas.fields import Body
from crowdrun.data.description.model import AnyModel
from crowdrun.data.forecast import Fit, Forecast, ForecastSettings, ModuleMemory, RankPeak, Remedy

#: Largest card or node that is believed in, MB.
MOST_MB = 2.0**30
MOST_SAMPLES, MOST_GPUS, MOST_PARTS = 1 << 24, 4096, 1024
KNOWN_EXAMPLE: dict[str, Any] = {
    "model": {"architecture": "resnet-50"},
    "batch_size": 256,
    "precision": "bf16",
    "optimizer": "sgd",
}
DESCRIBED_EXAMPLE: dict[str, Any] = {
    "model": {
        "input": {"shape": [1024], "dtype": "int64"},
        "layers": [
            {"kind": "embedding", "count": 50257, "features": 768},
            {"kind": "positions"},
            {
                "kind": "repeat",
                "times": 12,
                "layers": [{"kind": "transformer_block", "heads": 12, "causal": True}],
            },
            {"kind": "linear", "features": 50257, "bias": False},
        ],
    },
    "batch_size": 8,
    "checkpointing": True,
}


class FitBody(Body):
    """A card that it is to fit into."""

    limit_mb: Annotated[float, Field(gt=0, le=MOST_MB, allow_inf_nan=False)] = Field(
        description="the card's memory, MB"
    )
    risk: Annotated[float, Field(ge=0.001, le=0.5)] | None = Field(
        default=None, description="how often it may turn out too small; left out: as of predictions"
    )


class EstimateBody(Body):
    """A model, and how it is trained."""

    model_config = ConfigDict(json_schema_extra={"examples": [KNOWN_EXAMPLE, DESCRIBED_EXAMPLE]})

    model: AnyModel = Field(description="layers, or the name of a built-in network")
    batch_size: Annotated[int, Field(ge=1, le=MOST_SAMPLES, strict=True)] = Field(
        default=32, description="samples a step, over all GPUs and micro-batches together"
    )
    precision: Literal["fp32", "bf16", "fp64"] = Field(default="fp32", description="bf16: under autocast")
    optimizer: Literal["adam", "adamw", "rmsprop", "sgd"] = Field(default="adamw", description="sgd: with momentum")
    strategy: Literal["single", "ddp", "zero1", "fsdp", "pipeline", "hybrid"] = Field(
        default="single", description="how several GPUs share the work"
    )
    world_size: Annotated[int, Field(ge=1, le=MOST_GPUS, strict=True)] = Field(default=1, description="GPUs")
    accumulation: Annotated[int, Field(ge=1, le=MOST_SAMPLES, strict=True)] = Field(
        default=1, description="micro-batches a step"
    )
    schedule: Literal["gpipe", "1f1b", "interleaved", "zero-bubble"] = Field(
        default="1f1b", description="pipeline and hybrid: the order of forward and backward passes"
    )
    micro_batches: Annotated[int, Field(ge=1, le=MOST_PARTS, strict=True)] = Field(
        default=4, description="pipeline and hybrid: parts of a batch that go through"
    )
    pipeline_ranks: Annotated[int, Field(ge=1, le=MOST_GPUS, strict=True)] | None = Field(
        default=None, description="hybrid: GPUs of one pipeline; left out: half of all"
    )
    rank: Annotated[int, Field(ge=0, lt=MOST_GPUS, strict=True)] | None = Field(
        default=None,
        description="whose memory is said; left out: of a pipeline the largest, else the first",
    )
    checkpointing: bool = Field(default=False, description="compute repeated blocks again in the backward pass")
    training: bool = Field(default=True, description="false: the forward pass alone")
    depth: Annotated[int, Field(ge=0, le=8, strict=True)] = Field(default=1, description="levels of modules to be told")
    fit: FitBody | None = Field(default=None, description="does it fit, and what would; takes some ten times as long")

    def settings(self) -> ForecastSettings:
        """How the step is taken.

        Raises:
            ConfigError: several GPUs without a strategy.
        """
        return ForecastSettings(
            precision=self.precision, accumulation=self.accumulation, training=self.training,
            checkpointing=self.checkpointing, strategy=self.strategy, world_size=self.world_size,
            schedule=self.schedule, micro_batches=self.micro_batches, pipeline_ranks=self.pipeline_ranks,
            rank=self.rank,
        )  # fmt: skip

    @property
    def micro_batch(self) -> int:
        return self.settings().micro_batch(self.batch_size)


class ModuleAnswer(BaseModel):
    """A part of the model."""

    name: str
    kind: str = Field(description="its class")
    mb: float = Field(description="what it and all below it hold at the peak")
    parts: dict[str, float] = Field(description="part -> MB of the same")
    children: "Sequence[ModuleAnswer]"

    @classmethod
    def of(cls, module: ModuleMemory, depth: int) -> Self:
        below = [cls.of(child, depth - 1) for child in module.children if child.nbytes] if depth else []
        parts = {part: nbytes / 2**20 for part, nbytes in module.parts.items()}
        return cls(name=module.name, kind=module.kind, mb=module.nbytes / 2**20, parts=parts, children=below)

    def to_record(self) -> ModuleMemory:
        """What is below the levels that are told counts as its own."""
        below = tuple(child.to_record() for child in self.children)
        own = {part: round(mb * 2**20) - sum(child.parts.get(part, 0) for child in below)
               for part, mb in self.parts.items()}  # fmt: skip
        return ModuleMemory(name=self.name, kind=self.kind, own=own, children=below)


class RemedyAnswer(BaseModel):
    """One way to make it fit."""

    name: str
    settings: Mapping[str, str | int | bool] = Field(description="what is different")
    micro_batch: int
    needed_mb: float
    fits: bool
    cost: str

    @classmethod
    def of(cls, remedy: Remedy, asked: ForecastSettings) -> Self:
        names = ("precision", "accumulation", "checkpointing", "strategy", "world_size")
        changed = {name: value for name in names if (value := getattr(remedy.settings, name)) != getattr(asked, name)}
        return cls(
            name=remedy.name, settings=changed, micro_batch=remedy.micro_batch, needed_mb=remedy.needed_mb,
            fits=remedy.fits, cost=remedy.cost,
        )  # fmt: skip

    def to_record(self, asked: ForecastSettings) -> Remedy:
        changed: dict[str, Any] = dict(self.settings)
        return Remedy(
            name=self.name, settings=replace(asked, **changed), micro_batch=self.micro_batch, needed_mb=self.needed_mb,
            fits=self.fits, cost=self.cost,
        )  # fmt: skip


class FitAnswer(BaseModel):
    """Whether it fits into the card."""

    limit_mb: float
    risk: float
    needed_mb: float = Field(description="of the card, with the margin for the risk")
    fits: bool
    largest_micro_batch: int = Field(description="0: not even one sample fits")
    remedies: list[RemedyAnswer] = Field(description="cheapest first; empty where it fits")

    @classmethod
    def of(cls, fit: Fit, asked: ForecastSettings) -> Self:
        return cls(
            limit_mb=fit.limit_mb, risk=fit.risk, needed_mb=fit.needed_mb, fits=fit.fits,
            largest_micro_batch=fit.largest_micro_batch, remedies=[RemedyAnswer.of(one, asked) for one in fit.remedies],
        )  # fmt: skip

    def to_record(self, micro_batch: int, asked: ForecastSettings) -> Fit:
        """Of a forecast for so many samples at once, taken so."""
        return Fit(
            limit_mb=self.limit_mb, risk=self.risk, micro_batch=micro_batch, needed_mb=self.needed_mb, fits=self.fits,
            largest_micro_batch=self.largest_micro_batch,
            remedies=tuple(one.to_record(asked) for one in self.remedies),
        )  # fmt: skip


class RankAnswer(BaseModel):
    """One rank of a pipeline."""

    rank: int
    layers: str = Field(description="the first and the last layer of each of its stages")
    allocated_mb: float
    reserved_mb: float
    device_mb: float


class EstimateAnswer(BaseModel):
    """What one GPU holds at the peak of a training step; MB are 2^20 bytes."""

    parameters: int
    micro_batch: int = Field(description="samples that one GPU takes at once")
    allocated_mb: float = Field(description="the tensors (torch.cuda.max_memory_allocated): traced")
    reserved_mb: float = Field(description="what torch's allocator holds for them: simulated")
    device_mb: float = Field(description="the whole card (nvidia-smi); see device_basis")
    device_basis: str
    split: dict[str, float] = Field(description="part -> MB at the peak of allocated")
    peak_step: int
    peak_phase: str
    tree: ModuleAnswer
    notes: list[str]
    each_rank: list[RankAnswer] = Field(default=[], description="of one pipeline, where no rank was named")
    fit: FitAnswer | None = None

    @classmethod
    def of(cls, said: Forecast, body: EstimateBody, fit: Fit | None) -> Self:
        return cls(
            parameters=said.parameters, micro_batch=body.micro_batch, allocated_mb=said.allocated_mb,
            reserved_mb=said.reserved_mb, device_mb=said.device_mb, device_basis=said.device_basis,
            split=dict(said.split), peak_step=said.peak_step, peak_phase=said.peak_phase,
            tree=ModuleAnswer.of(said.tree, body.depth), notes=list(said.notes),
            each_rank=[RankAnswer.model_validate(asdict(one)) for one in said.each_rank],
            fit=FitAnswer.of(fit, said.settings) if fit else None,
        )  # fmt: skip

    def to_record(self, settings: ForecastSettings) -> Forecast:
        """The forecast of a step that is taken so; `features` are not told."""
        return Forecast(
            settings=settings, parameters=self.parameters, allocated_mb=self.allocated_mb, reserved_mb=self.reserved_mb,
            device_mb=self.device_mb, device_basis=self.device_basis, split=self.split, peak_step=self.peak_step,
            peak_phase=self.peak_phase, tree=self.tree.to_record(), notes=tuple(self.notes),
            each_rank=tuple(RankPeak(**one.model_dump()) for one in self.each_rank),
        )  # fmt: skip
