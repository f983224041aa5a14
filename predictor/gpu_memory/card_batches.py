"""The largest batch that a forecast proposes for a card of some size, and the largest that it takes in truth.

A smaller card is made of a larger one by torch's own limit of its allocator (`set_per_process_memory_fraction`), less
what the line of the card says lies outside it.
"""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch

from crowdrun.predictor.gpu_memory.card import settings_of, train
from crowdrun.predictor.gpu_memory.card_models import Configuration, configurations, program_of
from crowdrun.predictor.gpu_memory.device import DeviceOverhead
from crowdrun.predictor.gpu_memory.fit import largest_batch
from crowdrun.predictor.gpu_memory.forecast import forecast_program

_MB = 1 << 20
CAPS_MB = (8192.0, 16384.0, 24576.0, 40960.0)
#: Of the largest batch, how finely it is looked for: one in 32.
FINENESS = 32


@dataclass(frozen=True, kw_only=True)
class LargestBatch:
    """Of one configuration under one cap."""

    configuration: Configuration
    cap_mb: float
    #: What the forecast proposes with the margin of the risk; 0: not one sample.
    proposed: int
    #: It was trained without running out of memory.
    ran: bool
    #: The largest that was trained, within one in FINENESS.
    largest: int

    @property
    def share(self) -> float:
        """Proposed, of the largest."""
        return self.proposed / self.largest if self.largest else 0.0


def largest_batches(
    wanted: Sequence[Configuration],
    overhead: DeviceOverhead,
    runs: Callable[[Configuration, float], bool],
    *,
    risk: float,
    total_mb: float,
    progress: Callable[[int, int], None],
) -> list[LargestBatch]:
    """Each configuration under each cap that the card can show.

    Args:
        wanted: what to train; their own batch is of no matter.
        overhead: of the card.
        runs: whether a configuration trains with so much of the card, MB.
        risk: that the card may turn out too small.
        total_mb: memory of the card.
        progress: told how many of how many are done.
    """
    todo = [(one, cap) for one in wanted for cap in CAPS_MB if cap <= total_mb]
    found = []
    for number, (configuration, cap_mb) in enumerate(todo):
        proposed = largest_batch(lambda batch: _needed_mb(configuration, batch, overhead, risk), cap_mb, start=32)  # noqa: B023
        ran = not proposed or runs(replace(configuration, batch=proposed), cap_mb)
        largest = true_largest(lambda batch: runs(replace(configuration, batch=batch), cap_mb), proposed, ran=ran)  # noqa: B023
        found.append(
            LargestBatch(configuration=configuration, cap_mb=cap_mb, proposed=proposed, ran=ran, largest=largest)
        )
        progress(number + 1, len(todo))
    return found


def asked() -> list[Configuration]:
    """One of each family, precision and way, in the larger size.

    >>> len(asked())
    10
    """
    return [one for one in configurations() if one.size == 2 and one.batch == 16]


def true_largest(runs: Callable[[int], bool], proposed: int, *, ran: bool) -> int:
    """The largest batch that runs, within one in FINENESS, looked for from the one that was proposed.

    >>> true_largest(lambda batch: batch <= 1000, 900, ran=True)
    984
    >>> true_largest(lambda batch: batch <= 1000, 1100, ran=False)
    996
    >>> true_largest(lambda batch: False, 0, ran=True)
    0
    """
    low, high = (proposed, 0) if ran else (0, proposed)
    while not high:
        tried = max(1, low + max(1, low // 8))
        if runs(tried):
            low = tried
        else:
            high = tried
    while high - low > max(1, high // FINENESS):
        middle = (low + high) // 2
        if runs(middle):
            low = middle
        else:
            high = middle
    return low


def _needed_mb(configuration: Configuration, batch: int, overhead: DeviceOverhead, risk: float) -> float:
    asked = replace(configuration, batch=batch)
    said = forecast_program(program_of(asked), settings_of(asked), overhead)
    return said.device_mb * overhead.margin(risk)


def runs_on_card(configuration: Configuration, cap_mb: float, overhead: DeviceOverhead) -> bool:
    """Whether two steps train on the GPU where a card of `cap_mb` would have given out."""
    total = torch.cuda.mem_get_info()[1]
    allowed_mb = max(cap_mb - overhead.offset_mb, 1.0) / overhead.slope
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(min(1.0, allowed_mb * _MB / total))
    try:
        train(program_of(configuration), configuration, torch.device("cuda"), steps=2)
    except torch.cuda.OutOfMemoryError:
        return False
    else:
        return True
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
