"""The answers that the gateway gives itself, as a table: endpoint -> what answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.pipeline.snapshot import Snapshot
from gateway.pipeline.status import Status
from gateway.protocol.endpoints import DEPLOYMENTS, MODELS, Endpoint
from gateway.protocol.messages import Request

#: Gives the JSON that answers an authenticated request. Raises GatewayError.
Answerer = Callable[[Request, Snapshot], Awaitable[bytes]]


def answerers(status: Status) -> Mapping[Endpoint, Answerer]:
    """What answers each of `ENDPOINTS`."""

    async def list_models(request: Request, snapshot: Snapshot) -> bytes:
        name = request.path_model
        return snapshot.models.listing() if name is None else snapshot.models.entry(name)

    async def report_deployments(request: Request, snapshot: Snapshot) -> bytes:
        return await status.deployments(snapshot.authenticator, request.headers)

    return {MODELS: list_models, DEPLOYMENTS: report_deployments}
