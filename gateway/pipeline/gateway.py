"""One request, top to bottom: authenticate, read, parse, resolve; then choose, send, relay, settle.

Knows the order of the steps and no detail of any of them. Its second half, which needs no headers, is in
`running.py`; a Python caller enters there. How a request ends, errors included, is in `ending.py`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from gateway.auth.principal import Principal
from gateway.errors import Forbidden, GatewayError, IdentityUnavailable, Unauthorized
from gateway.pipeline.disconnect import CancelWhenGone
from gateway.pipeline.endpoints import answerers
from gateway.pipeline.replies import json_reply
from gateway.pipeline.running import Runner
from gateway.pipeline.snapshot import Snapshot
from gateway.pipeline.status import Status
from gateway.pipeline.turns import Turns
from gateway.pipeline.uploads import Upload, UploadLimits
from gateway.protocol import calls
from gateway.protocol.calls import Call
from gateway.protocol.endpoints import Endpoint
from gateway.protocol.json_body import parse, parse_steps
from gateway.protocol.json_walk import LARGE
from gateway.protocol.messages import Reply, Request
from gateway.protocol.operation import Operation
from gateway.settings import Settings
from gateway.telemetry.record import Record
from gateway.telemetry.request_log import Refusals


class Gateway:
    """Answers requests. All that comes from outside (configuration, clock, upstream) is passed in."""

    def __init__(
        self,
        settings: Settings,
        snapshot: Callable[[], Awaitable[Snapshot]],
        status: Status,
        *,
        clock: Callable[[], float],
    ) -> None:
        """`snapshot` gives the configuration in force or raises NotReady; `clock` seconds since 1970."""
        self._snapshot = snapshot
        self._runner = Runner(settings, clock=clock)
        self._clock = clock
        self._status = status
        self._refusals = {kind: Refusals() for kind in (Unauthorized, Forbidden, IdentityUnavailable)}
        self._answerers = answerers(status)
        #: Bodies that take long to parse.
        self._turns = Turns()
        self._uploads = UploadLimits(
            max_body=settings.max_body, max_held=settings.max_held, upload_timeout=settings.upload_timeout
        )

    async def handle(self, request: Request, record: Record) -> Reply:
        """The reply to a request. A stream goes on after this returns.

        Raises GatewayError; raises ClientGone when the caller left, for nobody would read a reply.
        """
        snapshot = await self._snapshot()
        if isinstance(request.target, Endpoint):
            principal = await self._authenticate(snapshot, request, record)
            return json_reply(await self._answerers[request.target](request, snapshot, principal))
        with self._uploads.hold() as upload:
            principal, call = await self.admit(snapshot, request, request.target, record, upload=upload)
            async with CancelWhenGone(request.caller):
                return await self._runner.run(snapshot.dispatcher, call, principal, record, upload=upload)

    async def readiness(self, headers: Mapping[str, str]) -> bytes:
        """That requests are answered, and more for an administrator. Raises NotReady."""
        snapshot = await self._snapshot()
        try:
            principal = await snapshot.authenticator.authenticate(headers, self._clock())
        except GatewayError:
            principal = None
        return self._status.readiness(principal)

    async def admit(
        self, snapshot: Snapshot, request: Request, operation: Operation, record: Record, *, upload: Upload
    ) -> tuple[Principal, Call]:
        """Who calls, and what: authenticate, read, parse, resolve. Raises GatewayError or ClientGone."""
        principal = await self._authenticate(snapshot, request, record)
        calls.check_media_type(request.headers)
        began = self._clock()
        raw = await upload.read(request)
        # The time that the caller takes to send its body is not ours.
        record.waited += self._clock() - began
        body = parse(raw) if len(raw) <= LARGE else await self._turns.take(parse_steps(raw))
        call = calls.read(operation, body, request.path_model)
        record.requested_model, record.stream = call.requested_model, call.stream
        return principal, snapshot.models.check(call, principal, azure_path=request.azure_path)

    async def _authenticate(self, snapshot: Snapshot, request: Request, record: Record) -> Principal:
        """Who sends a request. Raises Unauthorized, Forbidden or IdentityUnavailable."""
        try:
            principal = await snapshot.authenticator.authenticate(
                request.headers, record.started, azure_path=request.azure_path
            )
        except (Unauthorized, Forbidden, IdentityUnavailable) as error:
            record.refusals = self._refusals[type(error)].count(record.started)
            raise
        record.client = principal.name
        return principal
