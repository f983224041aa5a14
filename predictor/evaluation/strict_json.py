"""What JSON can hold, and every page can show."""

import math
from typing import Any


def strict(value: Any) -> Any:
    """The same with None for NaN and infinity, which JSON does not have, and no character that no page can show.

    >>> strict({"share": float("nan"), "names": ["ada", "b\\x00b"]})
    {'share': None, 'names': ['ada', 'b\N{REPLACEMENT CHARACTER}b']}
    """
    if isinstance(value, dict):
        return {key: strict(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [strict(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, str):
        return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in value)
    return value
