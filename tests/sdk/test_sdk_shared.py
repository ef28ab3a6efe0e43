"""Limits that Routers share through Table Storage, with each other and with a gateway."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support import stores
from support.calls import chat as chat_over_http
from support.gateways import start_gateway
from support.python_api import MESSAGES

import gateway as litellm

ROOT = Path(__file__).parents[2]
CAPS = {"routing_strategy": "usage-based-routing-v2"}

azurite = stores.azurite


def admitted(call, count):
    """How many of `count` calls at once are answered; the others are limited."""

    def outcome(_):
        try:
            return call() is not None
        except litellm.RateLimitError as error:
            return not error.response.headers["retry-after"]

    with ThreadPoolExecutor(count) as pool:
        return sum(pool.map(outcome, range(count)))


def test_two_routers_keep_one_exact_cap(chat, azurite):
    entry = chat.entry(chat.deployment, rpm=10, strict=True)
    routers = [
        litellm.Router([entry], storage_connection_string=azurite.connection_string, **CAPS) for _ in range(2)
    ]

    counts = [
        admitted(lambda router=router: router.completion(chat.deployment, MESSAGES), 12) for router in routers
    ]

    assert (10, 10) == (sum(counts), len(chat.log))


PROGRAM = """
import json, sys
import gateway
router = gateway.Router(**json.loads(sys.argv[1]))
count = 0
for _ in range(int(sys.argv[2])):
    try:
        router.completion(router.model_list[0]["model_name"], [{"role": "user", "content": "Hi"}])
        count += 1
    except gateway.RateLimitError:
        pass
print(count)
"""


def test_a_router_in_another_process_and_a_gateway_keep_one_cap(chat, azurite):
    # A name of its own: the emulator keeps the counts of other tests.
    entry = chat.entry(chat.deployment, rpm=10, strict=True)
    document = {
        "model_list": [entry],
        "router_settings": CAPS,
        "general_settings": {"allow_anonymous": True},
    }
    settings = {"storage_connection_string": azurite.connection_string, "model_list": [entry], **CAPS}

    def in_another_process(count):
        command = [sys.executable, "-c", PROGRAM, json.dumps(settings), str(count)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, text=True, check=False)
        assert (0, "") == (done.returncode, done.stderr)
        return int(done.stdout)

    with start_gateway("embedded", document, AzureWebJobsStorage=azurite.connection_string) as gateway:
        over_http = [chat_over_http(gateway.port, chat.deployment).status for _ in range(4)]
        in_python = in_another_process(9)
        afterwards = chat_over_http(gateway.port, chat.deployment).status

    assert ([200] * 4, 6, 429, 10) == (over_http, in_python, afterwards, len(chat.log))


def test_a_router_that_nobody_holds_any_more_closes_its_connections(chat, azurite):
    router = litellm.Router(
        [chat.entry(chat.deployment, rpm=10)], storage_connection_string=azurite.connection_string, **CAPS
    )
    router.completion(chat.deployment, MESSAGES)
    ended = threading.Event()
    weakref.finalize(router._core._sharing, ended.set)

    del router

    # An open connection whose object ends is a warning, which is an error here.
    assert ended.wait(10)
    gc.collect()


@pytest.mark.system
def test_without_storage_each_router_counts_for_itself(chat):
    routers = [litellm.Router([chat.entry(rpm=3)], **CAPS) for _ in range(2)]

    assert [3, 3] == [
        admitted(lambda router=router: router.completion("gpt", MESSAGES), 5) for router in routers
    ]
