"""What pydantic says of a description, as one sentence: the place, what came, what is allowed.

>>> place_text(["layers", 3, "conv2d", "kernel_size"])
'layers[3].kernel_size'
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import ValidationError

T = TypeVar("T", bound=Mapping[str, Any])

#: Characters of a wrong value that are told.
_VALUE_CHARACTERS = 60
#: Names of alternatives, which are no fields.
_ALTERNATIVES = frozenset({"described", "known"})
#: Error of pydantic's -> what is allowed, with what it tells.
_ALLOWED: Mapping[str, str] = {
    "greater_than_equal": "it must be {ge:,} or more",
    "less_than_equal": "it must be {le:,} or less",
    "less_than": "it must be below {lt:g}",
    "int_type": "it must be a whole number",
    "float_type": "it must be a number",
    "literal_error": "it must be {expected}",
    "union_tag_invalid": "its kind must be one of {expected_tags}",
    "union_tag_not_found": 'it must have a "kind"',
    "too_short": "it must have {min_length} or more",
    "too_long": "it must have {max_length} at most",
    "string_pattern_mismatch": "it must be letters, digits, and . + / - _",
}


def fields_of(place: Sequence[str | int]) -> list[str | int]:
    """pydantic's place without the names of alternatives: the kind of a layer, which follows its number, and so on."""
    return [
        part
        for number, part in enumerate(place)
        if not (isinstance(part, str) and number and isinstance(place[number - 1], int)) and part not in _ALTERNATIVES
    ]


def place_text(place: Sequence[str | int]) -> str:
    """`layers[3].kernel_size`"""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in fields_of(place))
    return text.removeprefix(".") or "the description"


def allowed_text(item: Mapping[str, Any]) -> str:
    """What would have been right, of one error of pydantic's."""
    rule = _ALLOWED.get(item["type"])
    said = str(item["msg"]).removeprefix("Value error, ")
    if rule:
        return rule.format(**item.get("ctx", {}))
    return f"it {said}" if said.startswith("must ") else said


def complaint(error: ValidationError) -> str:
    """The first error, and how many more there are."""
    wrong = essential(error.errors(include_url=False))
    said = one_complaint(wrong[0], place_text(wrong[0]["loc"]))
    return said if len(wrong) == 1 else f"{said} (and {len(wrong) - 1} more)"


def essential(items: Sequence[T]) -> Sequence[T]:
    """Of a list with wrong parts pydantic also says that it is too short without them: not that."""
    return [item for item in items if item["type"] != "too_short"] or items


def one_complaint(item: Mapping[str, Any], place: str) -> str:
    """One error of pydantic's, at this place."""
    if item["type"] == "missing":
        return f"{place} is missing"
    if item["type"] == "extra_forbidden":
        return f"{place} is no field that is known there"
    value = repr(item["input"])
    short = value if len(value) <= _VALUE_CHARACTERS else f"{value[:_VALUE_CHARACTERS]}…"
    return f"{place} is {short}; {allowed_text(item)}"
