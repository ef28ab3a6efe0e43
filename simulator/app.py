"""The simulator: finds whom a request is for and takes it through Azure's checks, in their order.

    custom headers, credential -> path and api-version -> deployment -> faults -> operation against kind
    -> rate limit -> JSON -> parameters -> content filter -> answer

On v1 paths and on OpenAI's platform the deployment stands in the body, so JSON is read before it there.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from simulator import auth, errors, filters, headers, model_errors, parameters, platform
from simulator.admin import Administration
from simulator.answers import answer
from simulator.calls import Call
from simulator.canned import CannedStream, canned_replies
from simulator.clock import Clock, ManualClock, SystemClock
from simulator.config import Account, Config
from simulator.delivery import deliver
from simulator.faults import NO_FAULT, Fault
from simulator.journal import Entry, Journal
from simulator.places import Place, account_for, places_of
from simulator.reply import Refusal, Reply
from simulator.routes import OPERATIONS, Route, resolve_azure, split_target
from simulator.scripts import scripted_answer
from simulator.wire import Exchange, lower

#: Operations as the text of OperationNotSupported calls them; only the first is recorded.
OPERATION_TITLES = {
    "chat": "chatCompletion",
    "completions": "completion",
    "embeddings": "embeddings",
    "speech": "audioSpeech",
    "moderations": "moderations",
}
#: Statuses that a spillover deployment takes over; of the 400s only a prompt that is too long.
SPILLING = (429, 500, 503)


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request's head, ready to be asked."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    now: float
    #: The request's own randomness, so that concurrent requests do not disturb each other.
    random: random.Random


class Simulator:
    """All accounts of a configuration; a `wire.Handler`."""

    def __init__(self, config: Config, clock: Clock | None = None) -> None:
        """`clock` overrides the configured one."""
        self.config = config
        self.clock = clock or (ManualClock() if config.clock == "manual" else SystemClock())
        self.journal = Journal(config.log_size)
        self.canned = canned_replies(config)
        self.administration = Administration(self)
        self.places = places_of(config)
        self.requests = 0

    def reset(self) -> None:
        """Back to the beginning: log, limits, faults and numbering. The clock goes on."""
        self.journal.clear()
        self.requests = 0
        self.places = places_of(self.config)

    def is_fast(self, target: bytes) -> bool:
        """Whether a canned answer is ready for this target."""
        return bool(self.canned) and target.partition(b"?")[0] in self.canned

    def fast(self, exchange: Exchange) -> bool:
        """Send the canned answer."""
        self.requests += 1
        self.canned[exchange.target.partition(b"?")[0]].send(exchange)
        return True

    def left(self, exchange: Exchange) -> None:
        """Note that the client did not wait for the whole answer."""
        if isinstance(exchange.state, Entry):
            exchange.state.disconnected = time.monotonic()
        elif isinstance(exchange.state, CannedStream):
            exchange.state.stop()

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request."""
        path, query = split_target(exchange.target.decode("latin-1"))
        if path.startswith("/__"):
            await self.administration.serve(exchange, path)
            return
        self.requests += 1
        entry = self.open_entry(exchange)
        request = Incoming(
            exchange.method,
            path,
            query,
            dict(lower(exchange.headers)),
            entry.time,
            random.Random(self.config.seed * 1_000_003 + self.requests),
        )
        account = account_for(self.config, path, request.headers)
        entry.account = account.name
        fault = NO_FAULT
        place: Place | None = None
        try:
            below = path.removeprefix(account.path)
            route, place, document = await self.resolve(exchange, account, below, request)
            entry.deployment = place.deployment.name
            fault = place.faults.take()
            if fault.reset is not None:
                await self.reset_connection(exchange, entry, fault)
                return
            raw = await exchange.body()
            reply = self.answer_or_spill(place, route, raw if document is None else document, fault, request)
        except Refusal as refusal:
            entry.error = refusal.code
            reply = self.refusal_reply(refusal, account, place, request)
        entry.status = reply.status
        await deliver(exchange, reply, fault)
        if reply.settle is not None:
            reply.settle()
        entry.completed = time.monotonic()

    async def reset_connection(self, exchange: Exchange, entry: Entry, fault: Fault) -> None:
        """Answer nothing: break the connection off, when the fault says so."""
        if fault.reset == "request":
            await exchange.body()
        await asyncio.sleep(fault.delay_s)
        entry.error = "reset"
        entry.completed = time.monotonic()
        exchange.reset()

    def open_entry(self, exchange: Exchange) -> Entry:
        """The request's entry in the log."""
        peer = exchange.connection.transport.get_extra_info("peername")
        entry = Entry(
            number=self.requests,
            time=self.clock.now(),
            arrived=time.monotonic(),
            peer_port=peer[1] if peer else 0,
            method=exchange.method,
            target=exchange.target.decode("latin-1"),
            headers=exchange.headers,
            body_parts=exchange.body_parts,
        )
        exchange.state = entry
        self.journal.add(entry)
        return entry

    async def resolve(
        self, exchange: Exchange, account: Account, path: str, request: Incoming
    ) -> tuple[Route, Place, dict[str, Any] | None]:
        """Route, deployment and, where the deployment stands in it, the body. Raises Refusal."""
        if account.kind == "openai":
            auth.check_platform(account.all_keys, request.headers)
            kind = OPERATIONS.get(path.removeprefix("/v1/")) if path.startswith("/v1/") else None
            if kind is None or request.method != "POST":
                raise platform.unknown_url(request.method, path)
            route = Route("platform", kind, None, "v1")
        else:
            v1 = path.startswith("/openai/v1/")
            auth.check_azure(account, account.all_keys, request.headers, v1=v1, now=request.now)
            route = resolve_azure(account, request.method, path, request.query)
        document = None
        name = route.deployment
        if name is None:
            document = parameters.read_body(await exchange.body())
            name = document.get("model")
            if not isinstance(name, str) or not name:
                raise model_errors.missing_model()
        place = self.places.get((account.name, name))
        if place is None:
            if account.kind == "openai":
                raise platform.model_not_found(name)
            raise errors.deployment_not_found(v1=route.style == "v1")
        own_keys = place.deployment.keys
        if own_keys is not None and account.kind == "azure":
            auth.check_azure(account, own_keys, request.headers, v1=route.style == "v1", now=request.now)
        if route.style == "dated" and route.version not in place.deployment.api_versions:
            raise errors.resource_not_found()
        return route, place, document

    def answer_or_spill(
        self, place: Place, route: Route, body: bytes | dict[str, Any], fault: Fault, request: Incoming
    ) -> Reply:
        """The deployment's answer, or for provisioned throughput that of its spillover deployment."""
        try:
            return self.answer_from(place, route, body, fault, request)
        except Refusal as refusal:
            name = request.headers.get("x-ms-spillover-deployment", place.deployment.spillover)
            if not place.deployment.ptu or name is None or not spills(refusal):
                raise
            target = self.places.get((place.account.name, name))
            try:
                if target is None:
                    raise errors.deployment_not_found(v1=route.style == "v1")
                reply = self.answer_from(target, route, body, target.faults.take(), request)
            except Refusal as second:
                refusal.headers.append(("x-ms-spillover-error", second.code or str(second.status)))
                raise refusal from None
            reply.headers = headers.spilled(reply.headers, place.deployment, target.deployment)
            return reply

    def answer_from(
        self, place: Place, route: Route, body: bytes | dict[str, Any], fault: Fault, request: Incoming
    ) -> Reply:
        """One deployment's answer; raises Refusal."""
        account, deployment, quota = place.account, place.deployment, place.quota
        if (scripted := scripted_answer(fault, quota, route, request.now)) is not None:
            raise scripted
        if route.kind != deployment.kind:
            if account.kind == "openai":
                raise platform.wrong_operation(deployment.name, request.path)
            raise errors.operation_not_supported(OPERATION_TITLES[route.kind], deployment.model)
        quota.admit_request(route, request.now)
        document = parameters.read_body(body) if isinstance(body, bytes) else body
        charged = quota.estimate(document, route)
        quota.admit_tokens(route, charged, request.now)
        parameters.check(route.kind, document, deployment, route.version, extensions=route.extensions)
        verdict = filters.Verdict()
        if account.kind == "azure" and deployment.content_filter != "off":
            verdict = filters.judge_body(document)
        call = Call(account, deployment, document, verdict, request.now, request.random)
        if route.kind != "speech" and call.prompt_tokens > deployment.context_tokens:
            raise model_errors.context_length(deployment.context_tokens, call.prompt_tokens)
        reply, used = answer(call, whole=fault.json_for_stream)
        reply.headers += self.answer_headers(place, request)
        reply.settle = lambda: quota.settle(charged, used, self.clock.now())
        return reply

    def answer_headers(self, place: Place, request: Incoming) -> headers.Lines:
        """Header lines of a 200 but those of its body."""
        meters = place.quota.meters
        if place.account.kind == "openai":
            return headers.platform_answer(meters, request.now, request.random)
        return headers.azure_answer(place.account, place.deployment, meters, request.now, request.random)

    def refusal_reply(
        self, refusal: Refusal, account: Account, place: Place | None, request: Incoming
    ) -> Reply:
        """A refusal with the headers that belong to it."""
        lines: headers.Lines = []
        if refusal.content_type is not None:
            lines.append(("Content-Type", refusal.content_type))
        if refusal.code == "DeploymentNotFound":
            lines.append(("Transfer-Encoding", "chunked"))
        if account.kind == "openai":
            lines += headers.platform_answer(
                place.quota.meters if place else headers.Meters(None, None, None),
                request.now,
                request.random,
            )
        elif refusal.bare:
            lines.append(("apim-request-id", headers.uuid(request.random)))
        else:
            lines += headers.azure_error(account, place.deployment if place else None, request.random)
        lines += refusal.headers
        return Reply(refusal.status, lines, refusal.body, reason=refusal.reason)


def spills(refusal: Refusal) -> bool:
    """Whether a spillover deployment answers in the place of this error."""
    return refusal.status in SPILLING or refusal.code == "context_length_exceeded"
