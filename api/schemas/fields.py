"""Kinds of fields, and the base of what comes in: unknown fields refused by name."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from crowdrun.data.columns import BY_NAME
from crowdrun.data.states import STATES, normalise

#: Largest whole number: beyond it JSON readers that use doubles lose digits (RFC 8259, section 6).
LARGEST = 2**53 - 1

#: PostgreSQL cannot hold NUL in a text (its manual, 8.3), and nothing that is printed should hold it.
_NO_NUL = r"^[^\x00]*$"


def _known_state(text: str) -> str:
    state = normalise(text)
    if state is None:
        raise ValueError(f"must be one of {', '.join(STATES)}")
    return state


Text = Annotated[str, StringConstraints(max_length=4096, pattern=_NO_NUL, strict=True)]
LongText = Annotated[str, StringConstraints(max_length=65_536, pattern=_NO_NUL, strict=True)]
Whole = Annotated[int, Field(ge=0, le=LARGEST, strict=True)]
Number = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False, strict=True)]
Seconds = Annotated[float, Field(ge=0, le=1e11, allow_inf_nan=False, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False, strict=True)]
JobId = Annotated[str, StringConstraints(min_length=1, max_length=256, pattern=_NO_NUL, strict=True)]
StateName = Annotated[str, StringConstraints(max_length=100, strict=True), AfterValidator(_known_state)]


def column(name: str) -> Any:
    return Field(default=None, description=BY_NAME[name].doc)


class Body(BaseModel):
    """Base of what comes in: a field that is not listed is refused by name."""

    model_config = ConfigDict(extra="forbid", frozen=True)
