"""The answers that the gateway gives itself, as a table: endpoint -> what answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.pipeline.status import Status
from gateway.protocol.endpoints import DEPLOYMENTS, MODELS, Endpoint
from gateway.protocol.messages import Request
from gateway.routing.models import Models

#: Gives the JSON that answers an authenticated request. Raises GatewayError.
Answerer = Callable[[Request], Awaitable[bytes]]


def answerers(models: Models, status: Status) -> Mapping[Endpoint, Answerer]:
    """What answers each of `ENDPOINTS`."""

    async def list_models(request: Request) -> bytes:
        name = request.path_model
        return models.listing() if name is None else models.entry(name)

    async def report_deployments(request: Request) -> bytes:
        return await status.deployments(request.headers)

    return {MODELS: list_models, DEPLOYMENTS: report_deployments}
