"""Try it, the GPU memory of a model: a form, and what a training step holds, whether it fits, and what would."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request, Response
from pydantic import ValidationError

from crowdrun.api.dashboard.access import CurrentViewer
from crowdrun.api.dashboard.asked import form
from crowdrun.api.dashboard.held import held
from crowdrun.api.dashboard.render import PageRoute, page
from crowdrun.api.routes.shared import SharedService
from crowdrun.api.schemas.estimate import EstimateAnswer, EstimateBody
from crowdrun.api.serving.gone import while_wanted
from crowdrun.api.serving.problems import STATUSES
from crowdrun.data.description.complaint import complaint
from crowdrun.data.description.model import described
from crowdrun.data.errors import CrowdrunError, DescriptionError
from crowdrun.data.forecast import STRATEGIES
from crowdrun.data.task import PRECISIONS
from crowdrun.data.units import memory_mb
from crowdrun.training.models.table import BUILT_IN

router = APIRouter(prefix="/dashboard", include_in_schema=False, route_class=PageRoute)
Form = Annotated[dict[str, str], Depends(form)]

#: Field of the form -> what it holds at first.
FIELDS: Mapping[str, str] = {
    "architecture": "resnet-50", "batch_size": "64", "precision": "fp32", "optimizer": "sgd", "card": "24GB",
    "strategy": "single", "world_size": "1", "accumulation": "1", "checkpointing": "", "description": "",
}  # fmt: skip
CHOICES = {
    "architecture": tuple(BUILT_IN),
    "precision": PRECISIONS,
    "optimizer": ("sgd", "adamw", "adam", "rmsprop"),
    "strategy": STRATEGIES,
}
_WHOLE = ("batch_size", "world_size", "accumulation")


@dataclass(frozen=True, kw_only=True)
class MemoryAsked:
    """The form as it came: text."""

    fields: Mapping[str, str]

    @classmethod
    def of(cls, sent: Mapping[str, str]) -> "MemoryAsked":
        """Of a form that was sent; a box that is not checked is not sent at all."""
        usual = {name: value for name, value in FIELDS.items() if name not in {"checkpointing", "description"}}
        return cls(fields={name: sent.get(name, usual.get(name, "")).strip() for name in FIELDS})

    def body(self) -> EstimateBody:
        """What REST would be asked.

        Raises:
            DescriptionError: a field cannot be used; names it.
        """
        told = self.fields
        content: dict[str, Any] = {name: _whole(name, told[name]) for name in _WHOLE}
        content |= {name: told[name] for name in ("precision", "optimizer", "strategy")}
        content |= {"model": self._model(), "checkpointing": bool(told["checkpointing"])}
        if told["card"]:
            content["fit"] = {"limit_mb": _card_mb(told["card"])}
        try:
            return EstimateBody.model_validate(content)
        except ValidationError as error:
            raise DescriptionError(complaint(error)) from error

    def _model(self) -> Any:
        text = self.fields["description"]
        if not text:
            return {"architecture": self.fields["architecture"]}
        try:
            return described(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise DescriptionError(f"the description is not JSON: {error}") from error


def _whole(name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise DescriptionError(f"{name.replace('_', ' ')} is {text!r}; it must be a whole number") from error


def _card_mb(text: str) -> float:
    try:
        return memory_mb(text)
    except ValueError as error:
        raise DescriptionError(f"the card's memory: {error}") from error


@router.get("/memory")
def ask(request: Request, _: CurrentViewer) -> Response:
    """The form."""
    return _shown(request, MemoryAsked(fields=FIELDS))


@router.post("/memory")
async def answer(request: Request, sent: Form, service: SharedService, _: CurrentViewer) -> Response:
    """What the model of the form needs."""
    asked, until = MemoryAsked.of(sent), service.end_of_estimate()
    try:
        body = asked.body()
        told = await while_wanted(request, lambda gone: service.estimates.ask(body, gone, until))
    except CrowdrunError as error:
        status = next(status for kind, status in STATUSES if isinstance(error, kind))
        return _shown(request, asked, trouble=str(error), status=status)
    return _shown(request, asked, told=EstimateAnswer.model_validate(told))


def _shown(
    request: Request, asked: MemoryAsked, *, told: EstimateAnswer | None = None, trouble: str | None = None,
    status: int = 200,
) -> Response:  # fmt: skip
    return page(
        request, "memory", status=status, asked=asked, choices=CHOICES, told=told, trouble=trouble,
        held=held(told) if told else None,
    )  # fmt: skip
