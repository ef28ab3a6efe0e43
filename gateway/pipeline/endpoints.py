"""The answers that the gateway gives itself, as a table: endpoint -> what answers it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.auth.principal import Principal
from gateway.pipeline.snapshot import Snapshot
from gateway.pipeline.status import Status
from gateway.protocol.endpoints import DEPLOYMENTS, ME, MODELS, RELOAD, Endpoint
from gateway.protocol.messages import Request

#: Gives the JSON that answers a request of a caller who is known. Raises GatewayError.
Answerer = Callable[[Request, Snapshot, Principal], Awaitable[bytes]]


def answerers(status: Status) -> Mapping[Endpoint, Answerer]:
    """What answers each of `ENDPOINTS`."""

    async def list_models(request: Request, snapshot: Snapshot, principal: Principal) -> bytes:
        name, models = request.path_model, snapshot.models
        return models.listing(principal) if name is None else models.entry(name, principal)

    async def report_deployments(_request: Request, _snapshot: Snapshot, principal: Principal) -> bytes:
        return await status.deployments(principal)

    async def describe_caller(_request: Request, snapshot: Snapshot, principal: Principal) -> bytes:
        return await status.caller(principal, snapshot.models)

    async def reload(_request: Request, _snapshot: Snapshot, principal: Principal) -> bytes:
        return await status.reload(principal)

    return {MODELS: list_models, DEPLOYMENTS: report_deployments, ME: describe_caller, RELOAD: reload}
