"""`python -m benchmarks.objects`: objects of the gateway's own classes, a streamed call.

Counts, not times, so they are the same on every machine. The call goes through the embedded host's ASGI
application in this process; its upstream is that of all measurements. Rows of the ledger and the store are
left out: one flush writes those of many calls.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.programs import ROOT, Program, gateway_config
from benchmarks.tables import table
from benchmarks.traffic import CHUNKS, PATH, request
from benchmarks.upstream import Connection, Replies
from gateway import app, settings
from gateway.server.embedded import EmbeddedHost

#: Streamed calls before the one that is counted: they make what is kept between calls.
WARM_UP = 3
_OF_MANY_CALLS = ("gateway.limits.ledger", "gateway.storage")


def main() -> None:
    """Print how many objects a streamed call makes, how many live in its middle, and of which classes.

    Values (msgspec's Structs) are made in C, where nobody can count them: they are told where they live.
    """
    made, alive = asyncio.run(count())
    rows: list[list[Any]] = [["all", made.total(), alive.total()]]
    rows += [[name, made[name], alive[name]] for name in sorted(made | alive)]
    print(table(["class", "made by a streamed call", "alive in its middle"], rows))


async def count() -> tuple[Counter[str], Counter[str]]:
    """Names of classes with the objects that one streamed call makes, and those alive in its middle."""
    logging.getLogger("gateway.request").setLevel(logging.INFO)
    replies = Replies()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(replies), "127.0.0.1", 0)
    document = gateway_config(Program(server.sockets[0].getsockname()[1], 0))
    process = app.Process(settings.read({"GATEWAY_CONFIG": document}))
    app.root.install(process)
    sys.path.insert(0, str(ROOT))
    import function_app  # noqa: PLC0415  it needs an installed gateway only when it is called

    host = EmbeddedHost(function_app.app.get_functions())
    for _ in range(WARM_UP):
        await _stream(host)
    # A watch for the caller's leaving was cancelled a moment ago.
    await asyncio.sleep(0.01)
    before = _living()
    with _counted() as made:
        alive = await _stream(host)
    await process.close()
    server.close()
    return made, alive - before


async def _stream(host: EmbeddedHost) -> Counter[str]:
    """Make one streamed call; returns what lives in its middle."""
    head, _, body = request(PATH, stream=True).partition(b"\r\n\r\n")
    lines = [line.split(b": ", 1) for line in head.split(b"\r\n")[1:]]
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "http_version": "1.1",
        "path": PATH,
        "raw_path": PATH.encode(),
        "query_string": b"",
        "client": None,
        "headers": [(name.lower(), value) for name, value in lines],
    }
    received = [{"type": "http.request", "body": body}]
    pieces = 0
    alive: Counter[str] = Counter()

    async def receive() -> Any:
        if received:
            return received.pop()
        return await asyncio.get_running_loop().create_future()

    async def send(message: Any) -> None:
        nonlocal pieces, alive
        pieces += bool(message.get("body"))
        if pieces == CHUNKS // 2 and not alive:
            alive = _living()

    await host(scope, receive, send)
    if not alive:
        raise RuntimeError("the stream did not come")
    return alive


def _living() -> Counter[str]:
    """What lives now. The collector does not list values without containers: what holds them shows them."""
    gc.collect()
    listed = gc.get_objects()
    own = {id(each): each for each in (*listed, *gc.get_referents(*listed)) if _is_own(type(each))}
    return Counter(type(each).__qualname__ for each in own.values())


def _is_own(cls: type) -> bool:
    # Some classes of C extensions have a descriptor there.
    module = str(cls.__module__)
    return module.startswith("gateway.") and not module.startswith(_OF_MANY_CALLS)


@contextmanager
def _counted() -> Iterator[Counter[str]]:
    """Counts the objects of the gateway's classes that are made while it is entered."""
    made: Counter[str] = Counter()
    found = [each for each in gc.get_objects() if isinstance(each, type)]
    own = [each for each in found if _is_own(each) and "__init__" in vars(each)]
    kept = {each: each.__init__ for each in own}  # type: ignore[misc]

    def wrap(cls: type, init: Any) -> Any:
        def counting(self: Any, *args: Any, **options: Any) -> None:
            # Not for the call of a base class's.
            if type(self) is cls:
                made[cls.__qualname__] += 1
            init(self, *args, **options)

        return counting

    for cls, init in kept.items():
        cls.__init__ = wrap(cls, init)  # type: ignore[misc]
    try:
        yield made
    finally:
        for cls, init in kept.items():
            cls.__init__ = init  # type: ignore[misc]


if __name__ == "__main__":
    main()
