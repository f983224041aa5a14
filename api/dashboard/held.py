"""What a card holds at the peak, as pieces of one bar, with the figures that stand beside it.

>>> from crowdrun.api.schemas.estimate import EstimateAnswer
>>> told = EstimateAnswer(
...     parameters=1, micro_batch=1, allocated_mb=300, reserved_mb=400, device_mb=936, device_basis="", peak_step=1,
...     split={"parameters": 100, "activations": 200}, peak_phase="backward", notes=[],
...     tree={"name": "", "kind": "", "mb": 0, "parts": {}, "children": []})
>>> [(piece.name, piece.mb) for piece in held(told).pieces]
[('parameters', 100.0), ('activations', 200.0), ('kept by the allocator', 100.0), ('outside it', 536.0)]
"""

from dataclasses import dataclass

from crowdrun.api.schemas.estimate import EstimateAnswer
from crowdrun.data.forecast import PARTS

#: Below this a piece is not told.
_LEAST_MB = 0.5
#: Below this share of the bar a piece is told in the table alone.
_LEAST_SHARE = 0.002


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """One piece; its place and width are shares of the bar."""

    name: str
    #: Of its colour in the style sheet.
    colour: str
    mb: float
    start: float
    width: float

    @property
    def is_drawn(self) -> bool:
        return self.width >= _LEAST_SHARE


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """The bar: as long as the card, or as what is needed where that is more."""

    pieces: list[Piece]
    total_mb: float
    #: Where the card ends, as a share of the bar; None without a card.
    limit: float | None


def held(told: EstimateAnswer) -> Held:
    """Parts of the tensors, then what lies around them up to the whole card, then the margin for the risk."""
    sizes = [(part.replace("_", " "), part, told.split.get(part, 0.0)) for part in PARTS]
    sizes.append(("kept by the allocator", "reserve", max(0.0, told.reserved_mb - told.allocated_mb)))
    sizes.append(("outside it", "outside", max(0.0, told.device_mb - told.reserved_mb)))
    if told.fit:
        sizes.append(("margin for the risk", "margin", max(0.0, told.fit.needed_mb - told.device_mb)))
    total = sum(mb for _, _, mb in sizes)
    length = max(total, told.fit.limit_mb) if told.fit else total
    pieces, start = [], 0.0
    for name, colour, mb in sizes:
        if mb >= _LEAST_MB:
            pieces.append(Piece(name=name, colour=colour, mb=float(mb), start=start / length, width=mb / length))
            start += mb
    return Held(pieces=pieces, total_mb=total, limit=told.fit.limit_mb / length if told.fit else None)
