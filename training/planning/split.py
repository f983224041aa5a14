"""How a global batch is worked on: by how many ranks, in which micro-batches, with which strategy. Pure but for `ask`.

What costs least comes first: accumulation (the same work in smaller pieces), then sharding (1.5 times the traffic of
ddp; Rajbhandari et al., "ZeRO", 2020), then activation checkpointing (each block is computed twice, about a third more;
Chen et al., "Training deep nets with sublinear memory cost", 2016), then a pipeline (GPUs wait for each other at its
ends; only for a sequence of layers), then more GPUs.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from crowdrun.data.errors import ConfigError, ForecastError
from crowdrun.data.forecast import PIPELINES, Forecast, ForecastSettings

#: Samples that one rank takes at once, and how -> the forecast of its memory.
Ask = Callable[[int, ForecastSettings], Forecast]
#: A forecast -> the factor to give on top of it.
Margin = Callable[[Forecast], float]

#: Strategy of the runner -> the one whose memory on a rank it has; of those that are not here nothing is forecast.
FORECAST_AS = {
    "single": "single",
    "ddp": "ddp",
    "hierarchical": "ddp",
    "compressed": "ddp",
    "local-sgd": "single",
    "server": "single",
    "zero1": "zero1",
    "fsdp": "fsdp",
    "hsdp": "fsdp",
    "pipeline": "pipeline",
    "hybrid": "hybrid",
}


@dataclass(frozen=True, kw_only=True)
class Split:
    """One way to work on the batch, and what it needs of a rank."""

    strategy: str
    world_size: int
    #: Samples that one rank takes at once, and how many such pieces make its part of the batch.
    micro_batch: int
    accumulation: int
    checkpointing: bool
    #: Forecast of the peak: of the card as a whole on a GPU, of the step's tensors on a CPU, MB.
    forecast_mb: float
    #: The same with the margin of the risk, MB.
    needed_mb: float
    #: False: nothing that was tried fits, and this needs least.
    fits: bool
    #: What a measured run is learned by (`Forecast.features`).
    features: Mapping[str, float] = field(default_factory=dict)
    #: Where what lies between the traced step and the whole card is known from.
    basis: str = ""
    #: Forecast of each rank, MB; `forecast_mb` is the largest.
    ranks_mb: tuple[float, ...] = ()


def choose_split(
    ask: Ask,
    *,
    batch_size: int,
    gpus: Sequence[int],
    limit_mb: float,
    margin: Margin,
    settings: ForecastSettings,
    strategy: str | None = None,
) -> Split:
    """The cheapest split that fits into a card; where none does, the one that needs least, with `fits` false.

    Args:
        ask: forecasts a step.
        batch_size: samples a step, over all ranks together; it stays what it is.
        gpus: numbers of GPUs that may be taken, the preferred first.
        limit_mb: memory of one card, MB.
        margin: of a forecast, the factor of the risk that the card may turn out too small.
        settings: precision and device of the forecast.
        strategy: the runner's strategy where the person has chosen it; None chooses ddp, fsdp or a pipeline.

    Raises:
        ForecastError: the step cannot be forecast, or not with this strategy.
    """
    least: Split | None = None
    trouble = ForecastError("there is no GPU to plan for; say how many there may be")
    for world_size in gpus:
        for name, checkpointing in _ways(strategy, world_size):
            try:
                found = _smallest_accumulation(
                    ask, name, batch_size=batch_size, limit_mb=limit_mb, margin=margin,
                    how=replace(
                        settings, world_size=world_size, strategy=forecast_as(name), checkpointing=checkpointing
                    ),
                )  # fmt: skip
            except (ConfigError, ForecastError) as error:
                if name not in PIPELINES:
                    raise
                # Of a pipeline there is none for this model, or not of so many ranks.
                trouble = ForecastError(str(error))
                continue
            if found.fits:
                return found
            least = found if least is None or found.needed_mb < least.needed_mb else least
    if least is None:
        raise trouble
    return least


def one_split(ask: Ask, *, batch_size: int, ranks: int, strategy: str, settings: ForecastSettings) -> Split:
    """What is asked for, as it is, with its forecast; nothing is chosen (on CPUs there is no card to fit into)."""
    how = replace(settings, world_size=ranks, strategy=forecast_as(strategy) if ranks > 1 else "single")
    return _split(
        ask, strategy, batch_size=batch_size, accumulation=1, limit_mb=math.inf, margin=lambda _: 1.0, how=how
    )


def forecast_as(strategy: str) -> str:
    """The strategy whose forecast stands for this one's.

    >>> forecast_as("hierarchical")
    'ddp'
    """
    if strategy not in FORECAST_AS:
        raise ForecastError(
            f"the strategy {strategy} divides the model itself, and its memory is not forecast; "
            f"forecast are {', '.join(sorted(FORECAST_AS))}"
        )
    return FORECAST_AS[strategy]


def _ways(strategy: str | None, world_size: int) -> Iterator[tuple[str, bool]]:
    names = ["single"] if world_size == 1 else [strategy] if strategy else ["ddp", "fsdp"]
    for checkpointing in (False, True):
        for name in names:
            yield name, checkpointing
    if world_size > 1 and not strategy:
        yield from (("pipeline", checkpointing) for checkpointing in (False, True))


def _smallest_accumulation(
    ask: Ask, name: str, *, batch_size: int, limit_mb: float, margin: Margin, how: ForecastSettings
) -> Split:
    """Of 1, 2, 4 ... pieces, and one sample at a time, the fewest that fit; found by halving."""

    def tried(accumulation: int) -> Split:
        return _split(
            ask, name, batch_size=batch_size, accumulation=accumulation, limit_mb=limit_mb, margin=margin, how=how
        )

    each = how.micro_batch(batch_size)
    pieces = sorted({*(1 << power for power in range(each.bit_length()) if 1 << power < each), each})
    whole = tried(pieces[0])
    if whole.fits or len(pieces) == 1:
        return whole
    finest = tried(pieces[-1])
    if not finest.fits:
        return finest
    low, high, best = 0, len(pieces) - 1, finest
    while high - low > 1:
        middle = (low + high) // 2
        found = tried(pieces[middle])
        low, high, best = (low, middle, found) if found.fits else (middle, high, best)
    return best


def _split(
    ask: Ask, name: str, *, batch_size: int, accumulation: int, limit_mb: float, margin: Margin, how: ForecastSettings
) -> Split:
    how = replace(how, accumulation=accumulation)
    micro_batch = how.micro_batch(batch_size)
    said = ask(micro_batch, how)
    ranks_mb = _of_each_rank(said)
    mb = max(ranks_mb)
    needed_mb = mb * margin(said)
    return Split(
        strategy=name,
        world_size=how.world_size,
        micro_batch=micro_batch,
        accumulation=accumulation,
        checkpointing=how.checkpointing,
        forecast_mb=mb,
        needed_mb=needed_mb,
        fits=needed_mb <= limit_mb,
        ranks_mb=ranks_mb,
        features=said.features,
        basis=said.device_basis,
    )


def _of_each_rank(said: Forecast) -> tuple[float, ...]:
    """MB of the card as a whole on GPUs, of the step's tensors on CPUs."""
    how = said.settings
    if how.device == "cuda":
        each = [one.device_mb for one in said.each_rank] or [said.device_mb]
    else:
        # Each rank builds the whole model before it keeps its own layers, and once more to score it at the end.
        whole = said.parameters * (8 if how.precision == "fp64" else 4) / 2**20
        each = [max(one.allocated_mb, one.kept_mb + whole) for one in said.each_rank] or [said.allocated_mb]
    return tuple(each) * (how.world_size // len(each))
