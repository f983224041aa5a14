"""Does a batch fit into a card, what is the largest that does, and what would make the wanted one fit."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache

from crowdrun.data.forecast import Fit, Forecast, ForecastSettings, Remedy
from crowdrun.predictor.gpu_memory.device import DeviceModel

#: Samples that one GPU takes at once, and how -> the forecast.
Ask = Callable[[int, ForecastSettings], Forecast]

#: Nobody trains with more samples at once, and a search ends.
MOST_SAMPLES = 1 << 24
ACCUMULATIONS, WORLDS = (2, 4, 8, 16, 32), (2, 4, 8, 16, 32, 64)
COSTS = {
    "bf16": "products are rounded to 8 bits; weights and sums stay in fp32",
    "checkpointing": "each block is computed twice: about a third more computing (Chen et al., 2016)",
    "accumulation": "{k} passes a step with {small} samples each; batch normalisation sees those alone",
    "fsdp": "{n} GPUs; parameters are gathered in both passes, 1.5 times the traffic of ddp (Rajbhandari et al., 2020)",
}


def fit(ask: Ask, micro_batch: int, settings: ForecastSettings, *, limit_mb: float, risk: float,
        overhead: DeviceModel) -> Fit:  # fmt: skip
    """The answer for a card of `limit_mb`.

    Args:
        ask: forecasts a step.
        micro_batch: samples that one GPU is to take at once.
        settings: how the step is taken.
        limit_mb: the card's memory, MB.
        risk: how often the card may turn out too small all the same.
        overhead: of the card; its margin for the risk is given on top.
    """

    @cache
    def needed(batch: int, how: ForecastSettings = settings) -> float:
        said = ask(batch, how)
        return said.device_mb * overhead.margin(risk, said.features)

    fits = needed(micro_batch) <= limit_mb
    return Fit(
        limit_mb=limit_mb,
        risk=risk,
        micro_batch=micro_batch,
        needed_mb=needed(micro_batch),
        fits=fits,
        largest_micro_batch=largest_batch(needed, limit_mb, start=micro_batch),
        remedies=() if fits else tuple(_remedies(needed, micro_batch, settings, limit_mb)),
    )


def largest_batch(needed: Callable[[int], float], limit_mb: float, *, start: int) -> int:
    """The largest batch whose need is within the limit, 0 if none is; the need grows about evenly with the batch.

    >>> largest_batch(lambda batch: 500 + 7.3 * batch, 8000, start=32)
    1027
    """
    low, high = 0, MOST_SAMPLES
    known: dict[int, float] = {}
    guess = max(1, start)
    while high - low > 1:
        guess = min(max(guess, low + 1), high - 1)
        known[guess] = needed(guess)
        if known[guess] <= limit_mb:
            low = guess
        else:
            high = guess
        # Every third look halves what is left, so that a need that grows in steps ends the search as well.
        guess = (low + min(high, 4 * low + 1)) // 2 if len(known) % 3 == 0 else _where_the_line_meets(known, limit_mb)
    return low


def _where_the_line_meets(known: dict[int, float], limit_mb: float) -> int:
    """Of the straight line through the two samples next to the limit; twice or half the batch where there is none."""
    near = sorted(known, key=lambda batch: abs(known[batch] - limit_mb))[:2]
    rise = known[near[0]] - known[near[-1]]
    if not rise:
        return near[0] * 2 if known[near[0]] <= limit_mb else near[0] // 2
    return math.floor(near[0] + (limit_mb - known[near[0]]) * (near[0] - near[1]) / rise + 0.5)


def _remedies(
    needed: Callable[[int, ForecastSettings], float], batch: int, settings: ForecastSettings, limit_mb: float
) -> Iterator[Remedy]:
    """Each way by itself, and the first two together; of those with a number, the smallest that is enough."""
    low = replace(settings, precision="bf16")
    again = replace(settings, checkpointing=True)
    ways: list[tuple[str, list[tuple[ForecastSettings, int, str]]]] = []
    if settings.precision == "fp32":
        ways.append(("bf16", [(low, batch, COSTS["bf16"])]))
    if settings.training:
        accumulated = [(k, math.ceil(batch / k)) for k in ACCUMULATIONS if k <= batch]
        ways.append((
            "accumulation",
            [(replace(settings, accumulation=settings.accumulation * k), small,
              COSTS["accumulation"].format(k=k, small=small)) for k, small in accumulated],
        ))  # fmt: skip
        if not settings.checkpointing:
            ways.append(("checkpointing", [(again, batch, COSTS["checkpointing"])]))
            if settings.precision == "fp32":
                both = f"{COSTS['checkpointing']}; {COSTS['bf16']}"
                ways.append(("bf16 and checkpointing", [(replace(again, precision="bf16"), batch, both)]))
        if settings.strategy == "single":
            ways.append((
                "fsdp",
                [(replace(settings, strategy="fsdp", world_size=n), math.ceil(batch / n), COSTS["fsdp"].format(n=n))
                 for n in WORLDS],
            ))  # fmt: skip
    for name, tries in ways:
        yield _first_that_fits(needed, name, tries, limit_mb)


def _first_that_fits(
    needed: Callable[[int, ForecastSettings], float],
    name: str,
    tries: list[tuple[ForecastSettings, int, str]],
    limit_mb: float,
) -> Remedy:
    chosen = next((one for one in tries if needed(one[1], one[0]) <= limit_mb), tries[-1])
    settings, batch, cost = chosen
    mb = needed(batch, settings)
    return Remedy(name=name, settings=settings, micro_batch=batch, needed_mb=mb, fits=mb <= limit_mb, cost=cost)
