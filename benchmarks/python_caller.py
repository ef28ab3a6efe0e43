"""One way to call a chat model from Python, measured from within.

    python -m benchmarks.python_caller WAY PORT TOTAL CONCURRENCY

Prints the CPU milliseconds per call of this process, all threads, as soon as it is warm. The ways: `core` is
the gateway's core without its server, from the bytes of a body to those of the answer; `acompletion` is the
Python API; `openai` and `litellm` are those packages, where this interpreter has them.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.traffic import DEPLOYMENT, MODEL, UPSTREAM_KEY, request

#: The body of the request that is measured everywhere.
_BODY = request("/", stream=False).partition(b"\r\n\r\n")[2]
_MESSAGES = json.loads(_BODY)["messages"]
_VERSION = "2024-10-21"

Call = Callable[[], Awaitable[object]]


def core(base: str) -> Call:
    """The gateway's core: parse, resolve, choose, send, settle."""
    sdk = importlib.import_module("gateway.sdk.core")
    engine = importlib.import_module("gateway.sdk.engine").Engine()
    calls = importlib.import_module("gateway.protocol.calls")
    parse = importlib.import_module("gateway.protocol.json_body").parse
    chat = importlib.import_module("gateway.protocol.operations").CHAT
    params = {"model": f"azure/{DEPLOYMENT}", "api_base": base, "api_key": UPSTREAM_KEY}
    config = sdk.read_config({"model_list": [{"model_name": MODEL, "litellm_params": params}]})
    measured = sdk.Core(config, engine, sdk.MemoryStore())

    async def call() -> object:
        return await measured.run(calls.read(chat, parse(_BODY), None), None)

    return call


def acompletion(base: str) -> Call:
    """The Python API."""
    function = importlib.import_module("gateway").acompletion
    return lambda: function(
        model=f"azure/{DEPLOYMENT}", messages=_MESSAGES, temperature=0.7, api_base=base,
        api_key=UPSTREAM_KEY, api_version=_VERSION,
    )  # fmt: skip


def openai(base: str) -> Call:
    """openai-python's client for Azure."""
    client = importlib.import_module("openai").AsyncAzureOpenAI(
        azure_endpoint=base, api_key=UPSTREAM_KEY, api_version=_VERSION
    )
    create = client.chat.completions.create
    return lambda: create(model=DEPLOYMENT, messages=_MESSAGES, temperature=0.7)


def litellm(base: str) -> Call:
    """LiteLLM."""
    function = importlib.import_module("litellm").acompletion
    return lambda: function(
        model=f"azure/{DEPLOYMENT}", messages=_MESSAGES, temperature=0.7, api_base=base,
        api_key=UPSTREAM_KEY, api_version=_VERSION,
    )  # fmt: skip


WAYS: dict[str, Callable[[str], Call]] = {
    "core": core,
    "acompletion": acompletion,
    "openai": openai,
    "litellm": litellm,
}


async def measure(call: Call, total: int, concurrency: int) -> float:
    """CPU milliseconds per call, after as many calls again to get warm."""
    await _run(call, total, concurrency)
    began = time.process_time()
    await _run(call, total, concurrency)
    return 1000 * (time.process_time() - began) / total


async def _run(call: Call, total: int, concurrency: int) -> None:
    async def some() -> None:
        for _ in range(total // concurrency):
            await call()

    await asyncio.gather(*(some() for _ in range(concurrency)))


def main(way: str, port: str, total: str, concurrency: str) -> None:
    """Measure and print."""
    call: Any = WAYS[way](f"http://127.0.0.1:{port}")
    print(asyncio.run(measure(call, int(total), int(concurrency))))


if __name__ == "__main__":
    main(*sys.argv[1:])
