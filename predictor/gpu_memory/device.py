"""From what torch's allocator reserves to what the whole card holds: learned from measurements, where there are any.

Outside the allocator lie the CUDA context, the code of the kernels that were loaded, cuDNN's workspaces and NCCL's
buffers. None of it can be traced. It is taken as an affine function of the reserved memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class DeviceModel(Protocol):
    """Says what a whole card holds, and how much to give on top."""

    @property
    def basis(self) -> str:
        """Where the figures are from, for the reader of a forecast."""

    def whole_card_mb(self, features: Mapping[str, float]) -> float:
        """MB of the card for a step's features (`learned/features.py`); `reserved` alone will do."""

    def margin(self, risk: float, features: Mapping[str, float]) -> float:
        """The factor to give on top for a step's features, so that no more than that share of jobs need more."""


@dataclass(frozen=True, kw_only=True)
class DeviceOverhead:
    """device = slope x reserved + offset, in MB."""

    slope: float
    offset_mb: float
    #: Where the figures are from, for the reader of a forecast.
    basis: str
    #: (risk, factor), risks falling: what is given on top so that no more than that share of jobs need more.
    margins: tuple[tuple[float, float], ...] = ((1.0, 1.0),)

    def device_mb(self, reserved_mb: float) -> float:
        """
        >>> round(UNMEASURED.device_mb(1000.0))
        1536
        """
        return self.slope * reserved_mb + self.offset_mb

    def whole_card_mb(self, features: Mapping[str, float]) -> float:
        return self.device_mb(features["reserved"])

    def margin(self, risk: float, features: Mapping[str, float] | None = None) -> float:
        """The factor of the largest risk that is not above this one; of the smallest, where all are above. It is the
        same for all steps.

        >>> UNMEASURED.margin(0.5), UNMEASURED.margin(0.05)
        (1.0, 1.1)
        """
        del features
        return next((factor for limit, factor in self.margins if limit <= risk), self.margins[-1][1])


#: A context with kernels of cuBLAS and cuDNN loaded takes some 300 to 600 MB on cards of the last years; this is a
#: round figure between, not a measurement of ours.
UNMEASURED = DeviceOverhead(
    slope=1.0,
    offset_mb=536.0,
    basis="not measured: a round figure for the CUDA context; no GPU has been calibrated",
    margins=((0.5, 1.0), (0.1, 1.05), (0.05, 1.1), (0.01, 1.2)),
)
