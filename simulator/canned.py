"""Canned answers for load tests: whole heads and bodies, made once, sent without a look at the request.

No key is checked, nothing is logged or counted against limits. What matters is that a load test measures
the gateway and not this.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from simulator import headers
from simulator.answers import answer
from simulator.calls import Call
from simulator.config import Account, Config, Deployment
from simulator.filters import Verdict
from simulator.quota import Quota
from simulator.routes import OPERATIONS
from simulator.wire import LAST_CHUNK, Exchange, chunk

#: Requests that the canned answers are made for, by kind.
EXAMPLES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Say something."}]},
    "completions": {"prompt": "Say something.", "max_tokens": 1000},
    "embeddings": {"input": "Something."},
    "speech": {"input": "Something.", "voice": "alloy"},
    "moderations": {"input": "Something."},
}
STREAM_MARKS = (b'"stream":true', b'"stream": true')


class CannedStream:
    """One canned stream under way: a timer per part."""

    __slots__ = ("exchange", "index", "parts", "pause_s", "timer")

    def __init__(self, exchange: Exchange, parts: list[bytes], pause_s: float) -> None:
        """`parts` include the framing; the first is already sent."""
        self.exchange = exchange
        self.parts = parts
        self.pause_s = pause_s
        self.index = 1
        self.timer = asyncio.get_running_loop().call_later(pause_s, self.step)

    def step(self) -> None:
        """Send the next part."""
        self.exchange.write(self.parts[self.index])
        self.index += 1
        if self.index == len(self.parts):
            self.exchange.finish()
        else:
            self.timer = asyncio.get_running_loop().call_later(self.pause_s, self.step)

    def stop(self) -> None:
        """The client is gone."""
        self.timer.cancel()


@dataclass(slots=True)
class CannedReply:
    """What one path answers."""

    whole: list[bytes]
    #: Head and first event, one event each, end; None where there is no such stream.
    stream: list[bytes] | None
    #: Seconds before a whole answer, and between the parts of a stream.
    delay_s: float
    pause_s: float

    def send(self, exchange: Exchange) -> None:
        """Answer one request."""
        body = exchange.body_parts[0] if len(exchange.body_parts) == 1 else b"".join(exchange.body_parts)
        if self.stream is not None and any(mark in body for mark in STREAM_MARKS):
            self.begin(exchange, self.stream)
        elif self.delay_s:
            exchange.state = CannedStream(exchange, [b"", b"".join(self.whole)], self.delay_s)
        elif len(self.whole) > 1 and self.pause_s:
            self.begin(exchange, self.whole)
        else:
            exchange.write(b"".join(self.whole))
            exchange.finish()

    def begin(self, exchange: Exchange, parts: list[bytes]) -> None:
        """Send the first part now and the others with their pauses."""
        if not self.pause_s:
            exchange.write(b"".join(parts))
            exchange.finish()
            return
        exchange.write(parts[0])
        exchange.state = CannedStream(exchange, parts, self.pause_s)


def canned_replies(config: Config) -> dict[bytes, CannedReply]:
    """Answers by path, for every deployment that is marked `canned`.

    On v1 paths the first canned deployment of a kind answers, because the body is not read.
    """
    replies: dict[bytes, CannedReply] = {}
    for account in config.accounts:
        for deployment in account.deployments:
            path = next((path for path, kind in OPERATIONS.items() if kind == deployment.kind), None)
            if not deployment.canned or path is None:
                continue
            reply = can(account, deployment)
            if account.kind == "azure":
                dated = f"{account.path}/openai/deployments/{quote(deployment.name, safe='')}/{path}"
                replies[dated.encode()] = reply
            base = "/v1" if account.kind == "openai" else "/openai/v1"
            replies.setdefault(f"{account.path}{base}/{path}".encode(), reply)
    return replies


def can(account: Account, deployment: Deployment) -> CannedReply:
    """Make one deployment's answers."""
    example = EXAMPLES[deployment.kind]
    streams = deployment.kind in ("chat", "completions")
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return CannedReply(
        whole=wire_parts(account, deployment, example),
        stream=wire_parts(account, deployment, example | options) if streams else None,
        delay_s=deployment.latency.first_ms[0] / 1000,
        pause_s=deployment.latency.token_ms[0] / 1000,
    )


def wire_parts(account: Account, deployment: Deployment, body: dict[str, Any]) -> list[bytes]:
    """The bytes of an answer as they go over the wire: one part if whole, else one per event."""
    source = random.Random(0)
    call = Call(account, deployment, body, Verdict(), 1774963446, source)
    reply, _ = answer(call, whole=False)
    lines = list(reply.headers)
    if account.kind == "azure":
        meters = Quota(account, deployment).meters
        lines += headers.azure_answer(account, deployment, meters, call.now, source)
    if reply.body is not None:
        return [raw_head([*lines, ("Content-Length", str(len(reply.body)))]) + reply.body]
    parts = [chunk(data) for _, data in reply.parts]
    parts[0] = raw_head([*lines, ("Transfer-Encoding", "chunked")]) + parts[0]
    parts[-1] += LAST_CHUNK
    return parts


def raw_head(lines: headers.Lines) -> bytes:
    """Status line and header lines of a 200."""
    return "".join(
        ["HTTP/1.1 200 OK\r\n", *(f"{name}: {value}\r\n" for name, value in lines), "\r\n"]
    ).encode()
