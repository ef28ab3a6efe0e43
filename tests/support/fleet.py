"""Several gateways, each a process of its own, on one storage and in front of one simulator; and their clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from simulator.testing import Running, serve
from support.calls import KEY, call, chat, wait_for
from support.gateways import Gateway, start_gateway
from support.upstream import AZURE_KEY, member

#: A model that every fleet has, for what is no part of a test.
WARM = "warm"
#: Seconds after which a reply is given up for lost.
PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Reply:
    """What one call came to. A status of 0: there was no whole reply."""

    gateway: int
    status: int
    #: Names in lower case.
    headers: Mapping[str, str]
    body: bytes
    #: Seconds since 1970.
    sent: float
    seconds: float

    @property
    def error(self) -> dict[str, Any]:
        return json.loads(self.body)["error"]

    @property
    def retry_after(self) -> int:
        """The wait that a 429 tells, whose two headers must agree."""
        seconds = int(self.headers["retry-after"])
        assert str(1000 * seconds) == self.headers["retry-after-ms"]
        return seconds


@dataclass(slots=True)
class Fleet:
    """Running gateways and what is behind them."""

    simulator: Running
    gateways: list[Gateway] = field(default_factory=list)

    def at_once(self, model: str, count: int) -> list[Reply]:
        """`count` calls at the same time, to one gateway after the other."""

        async def work():
            places = [number % len(self.gateways) for number in range(count)]
            opened = [
                await asyncio.open_connection("127.0.0.1", self.gateways[place].port) for place in places
            ]
            calls = (ask(self, place, model, each) for place, each in zip(places, opened, strict=True))
            return await asyncio.gather(*calls)

        return asyncio.run(work())

    def one_by_one(self, gateway: int, model: str, count: int = 1, **body: Any) -> list[Reply]:
        """Calls of one gateway, each after the one before."""

        async def work():
            return [await ask(self, gateway, model, **body) for _ in range(count)]

        return asyncio.run(work())

    def state(self, gateway: int) -> dict[str, Any]:
        """What GET /gateway/deployments says."""
        return call(self.gateways[gateway].port, "GET", "/gateway/deployments").json()

    def deployment(self, gateway: int, name: str) -> dict[str, Any]:
        """A deployment's state in the eyes of one gateway."""
        (found,) = [each for each in self.state(gateway)["data"] if each["id"] == name]
        return found

    def storage(self, gateway: int) -> dict[str, Any]:
        """How the store is doing in the eyes of one gateway."""
        return call(self.gateways[gateway].port, "GET", "/readyz").json()["storage"]

    def sent(self, *deployments: str) -> list[dict[str, Any]]:
        """What the simulator has logged of these deployments, oldest first."""
        return self.simulator.log_of(*deployments)

    def warm_up(self) -> None:
        """Let each gateway open its connections, to the store too."""
        for number, gateway in enumerate(self.gateways):

            def reads(number=number, gateway=gateway) -> bool:
                assert 200 == chat(gateway.port, WARM).status
                operations = self.storage(number)["operations"]
                return operations.get("write", 0) > 1 and operations.get("read", 0) > 0

            assert wait_for(reads)


@contextlib.contextmanager
def simulated(deployments: Sequence[Mapping[str, Any]]) -> Iterator[Running]:
    """A simulator with these deployments, and the one of WARM."""
    azure = [{"name": WARM, "model": "gpt-4o"}, *({"model": "gpt-4o"} | dict(each) for each in deployments)]
    accounts = [{"name": "azure", "keys": [AZURE_KEY], "deployments": azure}]
    with serve({"log_size": 200_000, "accounts": accounts}) as running:
        yield running


def entry(base: str, model: str, deployment: str | None = None, **params: Any) -> dict[str, Any]:
    """A member whose id is its deployment's name, which is the model's where none is given."""
    name = deployment or model
    return member(model, name, base, **params) | {"model_info": {"id": name}}


@contextlib.contextmanager
def started(
    simulator: Running, count: int, storage: str, entries: Sequence[Mapping[str, Any]], **sections: Any
) -> Iterator[Fleet]:
    """`count` gateways that share `storage` (a connection string)."""
    general = {"master_key": KEY} | sections.pop("general_settings", {})
    config = {
        "model_list": [entry(simulator.url, WARM), *entries],
        "general_settings": general,
        **sections,
    }
    with contextlib.ExitStack() as stack:

        def start(_number: int) -> Gateway:
            return stack.enter_context(start_gateway("embedded", config, AzureWebJobsStorage=storage))

        with ThreadPoolExecutor(4) as pool:
            gateways = list(pool.map(start, range(count)))
        yield Fleet(simulator, gateways)


def request_bytes(model: str, **body: Any) -> bytes:
    """A chat call as bytes, on a connection of its own."""
    content = json.dumps(
        {"model": model, "messages": [{"role": "user", "content": "Say hello"}]} | body
    ).encode()
    lines = (
        "POST /v1/chat/completions HTTP/1.1",
        "host: gateway",
        f"authorization: Bearer {KEY}",
        "content-type: application/json",
        f"content-length: {len(content)}",
        "connection: close",
    )
    return "\r\n".join([*lines, "", ""]).encode() + content


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def ask(
    fleet: Fleet, gateway: int, model: str, connection: Connection | None = None, **body: Any
) -> Reply:
    """One chat call of one gateway."""
    sent, started_at = time.time(), time.perf_counter()
    data = b""
    try:
        async with asyncio.timeout(PATIENCE):
            reader, writer = connection or await asyncio.open_connection(
                "127.0.0.1", fleet.gateways[gateway].port
            )
            try:
                writer.write(request_bytes(model, **body))
                data = await reader.read(-1)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        data = b""
    seconds = time.perf_counter() - started_at
    head, _, content = data.partition(b"\r\n\r\n")
    line, *fields = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in fields)}
    whole = content.endswith(b"0\r\n\r\n") or len(content) == int(headers.get("content-length", -1))
    return Reply(gateway, int(line.split(" ")[1]) if whole else 0, headers, content, sent, seconds)
