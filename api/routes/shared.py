"""What routes share: the service, who asks, and answers that are JSON already."""

from typing import Annotated, Any

from fastapi import Depends, Request, Response
from pydantic_core import to_json

from crowdrun.api.serving.auth import Caller, require
from crowdrun.api.serving.service import Service
from crowdrun.data.roles import Role


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


SharedService = Annotated[Service, Depends(_service)]
Submitter = Annotated[Caller, require(Role.SUBMIT)]
Operator = Annotated[Caller, require(Role.OPERATOR)]


def json_answer(content: Any, status: int = 200) -> Response:
    """Plain dictionaries as they are: what is in them was not checked again."""
    return Response(to_json(content), status, media_type="application/json")
