"""How a route gets at the service."""

from typing import Annotated

from fastapi import Depends, Request

from crowdrun.api.service import Service


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


SharedService = Annotated[Service, Depends(_service)]
