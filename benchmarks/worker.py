"""The real Functions worker runtime with an app loaded, as a program under measurement.

    python -m benchmarks.worker APP_DIR FUNCTION

Runs on the worker's Python and prints the port on which the worker takes the requests that the Functions
host forwards. Instead of the host, which is another process in Azure, this program starts FUNCTION's
invocation the moment its request comes in; what is missing from the picture is only the worker's gRPC.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path
from typing import Any

from starlette.types import Receive, Scope, Send


async def serve(app_dir: Path, function: str) -> None:
    """Serve until killed."""
    from functions_host import Worker  # type: ignore[import-not-found]  # noqa: PLC0415  in tests/server

    from gateway.server.functions import INVOCATION_HEADER, WebApp  # noqa: PLC0415  beside it

    worker = Worker(app_dir)
    await worker.start()
    numbers = itertools.count(1)
    invocations: set[asyncio.Task[Any]] = set()
    take_request = WebApp.__call__

    async def take_forwarded(self: WebApp, scope: Scope, receive: Receive, send: Send) -> None:
        invocation_id = f"00000000-0000-0000-0000-{next(numbers):012}"
        scope["headers"].append((INVOCATION_HEADER, invocation_id.encode()))
        invocation = asyncio.create_task(worker.invoke(invocation_id, worker.functions[function], {}, ""))
        invocations.add(invocation)
        invocation.add_done_callback(invocations.discard)
        await take_request(self, scope, receive, send)

    WebApp.__call__ = take_forwarded  # type: ignore[method-assign]  # the worker has built its WebApp by now
    port = int(worker.url.rpartition(":")[2])
    await listening(port)
    print(port, flush=True)
    await asyncio.Event().wait()


async def listening(port: int) -> None:
    """Wait until the worker's HTTP server, which starts as a task of its own, accepts connections."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.01)
        else:
            writer.close()
            return


def main() -> None:
    """Load the app as the worker does: with its folder in front of the path, and as working directory."""
    root = Path.cwd()
    app_dir = Path(sys.argv[1]).resolve()
    sys.path[:0] = [str(app_dir), str(root), str(root / "tests" / "server")]
    os.chdir(app_dir)
    asyncio.run(serve(app_dir, sys.argv[2]))


if __name__ == "__main__":
    main()
