"""The record of a forecast by name: what a well-known network needs of a GPU, without a trace."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class NetworkForecast:
    """One training step of a network on one GPU; MB are 2^20 bytes."""

    #: Its name in the table, whose code was forecast, and what it is trained on: images, classification or language.
    network: str
    library: str
    task: str
    #: Samples that one GPU takes at once, and the side of an image in pixels, or the length of a text in tokens.
    micro_batch: int
    size: int
    gpus: int
    precision: str
    #: sgd with momentum, or adamw; others are taken for the one that keeps as much.
    optimizer: str
    allocated_mb: float
    #: What torch's allocator holds.
    reserved_mb: float
    #: The whole card.
    device_mb: float
    #: Whether a GPU has measured what `device_mb` adds.
    device_basis: str
    #: How far the table's line was off where it was checked, at another batch or size: 0.02 is 2%.
    off: float
