"""The API as a guest in somebody's process: threads, loops, forks, its end, and what importing it costs."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.calls import wait_for
from support.python_api import KEY, MESSAGES

import gateway as litellm
from gateway.sdk.engine import _Engines

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.system


def test_fifty_threads_call_at_once(chat):
    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(lambda _: litellm.completion(messages=MESSAGES, **chat.arguments), range(50)))

    assert 50 == len(chat.log) == sum(bool(each.choices[0].message.content) for each in answers)


def test_calls_of_threads_and_of_two_loops_keep_their_connections(chat):
    async def calls():
        for _ in range(4):
            await litellm.acompletion(messages=MESSAGES, **chat.arguments)

    for _ in range(4):
        litellm.completion(messages=MESSAGES, **chat.arguments)
    asyncio.run(calls())
    asyncio.run(calls())

    assert (12, True) == (len(chat.log), len({entry["peer_port"] for entry in chat.log}) <= 3)


def test_a_synchronous_call_works_within_a_running_loop(chat):
    async def notebook():
        return litellm.completion(messages=MESSAGES, **chat.arguments)

    assert asyncio.run(notebook()).choices


def program(source, *arguments, options=("-W", "error")):
    """What a program prints, which must end by itself and say nothing else."""
    command = [sys.executable, "-B", *options, "-c", source, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, text=True, check=False)
    assert (0, "") == (done.returncode, done.stderr)
    return json.loads(done.stdout)


CALLS = """
import asyncio, json, os, sys
import gateway as litellm

url, key, deployment = sys.argv[1:]
arguments = {"model": deployment, "messages": [{"role": "user", "content": "Hi"}], "api_base": url, "api_key": key}
"""

EVERY_KIND = (
    CALLS
    + """
async def work():
    stream = await litellm.acompletion(stream=True, **arguments)
    async for chunk in stream:
        break
    left = await litellm.acompletion(stream=True, **arguments)
    return (await litellm.acompletion(**arguments)).object

found = [litellm.completion(**arguments).object, asyncio.run(work())]
unread = litellm.completion(stream=True, **arguments)
next(unread)
print(json.dumps(found))
"""
)


def test_a_program_ends_by_itself_and_in_silence_even_with_unread_streams(chat):
    found = program(EVERY_KIND, chat.url, KEY, chat.model, options=("-X", "dev", "-W", "error"))

    assert ["chat.completion"] * 2 == found


UVLOOP = "import asyncio, uvloop; asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())\n"

LEFT_BEHIND = (
    CALLS
    + """
import threading, time
from gateway.sdk.engine import engine

late = {**arguments, "model": "azure/late"}
for work in (lambda: litellm.completion(**late), lambda: asyncio.run(litellm.acompletion(**late))):
    threading.Thread(target=work, daemon=True).start()
stream = litellm.completion(stream=True, **{**arguments, "model": "azure/slow"})
threading.Thread(target=lambda: list(stream), daemon=True).start()
loop = engine()._loop
while len(asyncio.all_tasks(loop)) < 3:
    time.sleep(0.01)
print(json.dumps("left"))
"""
)

FIRST = (
    CALLS
    + """
async def work():
    call = asyncio.ensure_future(litellm.acompletion(**arguments))
    rounds = 0
    while not hasattr(sys.modules.get("gateway.sdk.answering"), "aanswer") and not call.done():
        await asyncio.sleep(0)
        rounds += 1
    return [rounds > 1, (await call).object]

print(json.dumps(asyncio.run(work())))
"""
)


def test_the_first_call_leaves_its_loop_to_others_while_it_imports(chat):
    assert [True, "chat.completion"] == program(FIRST, chat.url, KEY, chat.model)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_threads_that_nobody_waits_for_end_in_silence_with_the_process(chat, loop):
    if loop == "uvloop":
        pytest.importorskip("uvloop")

    policy = UVLOOP if loop == "uvloop" else ""
    assert "left" == program(policy + LEFT_BEHIND, chat.url, KEY, chat.model)


def test_uvloop_is_taken_where_it_is_installed(chat):
    pytest.importorskip("uvloop")

    assert ["chat.completion"] * 2 == program(UVLOOP + EVERY_KIND, chat.url, KEY, chat.model, options=())


THREADS = (
    CALLS
    + """
from concurrent.futures import ThreadPoolExecutor
router = litellm.Router([{"model_name": "m", "litellm_params": {k: v for k, v in arguments.items() if k != "messages"},
                          "rpm": 20}], routing_strategy="usage-based-routing")

def call(number):
    try:
        if number % 2:
            return litellm.completion(**arguments).object
        return router.completion("m", arguments["messages"]).object
    except litellm.RateLimitError:
        return "limited"

with ThreadPoolExecutor(50) as pool:
    found = list(pool.map(call, range(50)))
print(json.dumps([found.count("chat.completion"), found.count("limited")]))
"""
)


def test_fifty_threads_may_make_the_first_calls_of_a_process(chat):
    assert [45, 5] == program(THREADS, chat.url, KEY, chat.model)


FORK = (
    CALLS
    + """
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of forks beside threads
router = litellm.Router([{"model_name": "m", "litellm_params": {k: v for k, v in arguments.items() if k != "messages"}}])
first = [litellm.completion(**arguments).object, router.completion("m", arguments["messages"]).object]
stream = litellm.completion(stream=True, **arguments)
reader, writer = os.pipe()
child = os.fork()
if not child:
    try:
        next(stream)
    except RuntimeError:
        first.append("chat.completion")  # the parent's to read
calls = [litellm.completion(**arguments).object, router.completion("m", arguments["messages"]).object,
         asyncio.run(litellm.acompletion(**arguments)).object]
if not child:
    os.write(writer, json.dumps(first + calls).encode())
    sys.exit(0)
os.close(writer)
_, status = os.waitpid(child, 0)
calls.append(litellm.completion(**arguments).object)
first.append(next(stream).object.removesuffix(".chunk"))
with os.fdopen(reader) as pipe:
    print(json.dumps([status, first + calls, json.loads(pipe.read())]))
"""
)


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no forks")
def test_both_processes_go_on_calling_after_a_fork(chat):
    status, parent, child = program(FORK, chat.url, KEY, chat.model, options=())

    assert (0, ["chat.completion"] * 7, ["chat.completion"] * 6) == (status, parent, child)


IMPORT = """
import json, os, sys, threading, time
began = time.process_time()
at_start = set(sys.modules)
descriptors = set(os.listdir("/dev/fd"))
from gateway import completion, acompletion, speech, Router
opened = set(os.listdir("/dev/fd")) - descriptors
print(json.dumps([threading.active_count(), sorted(opened), sorted(set(sys.modules) - at_start)]))
"""

#: What a chat with a gateway's server needs, or LiteLLM does, and a call from Python does not.
SERVER = ("starlette", "uvicorn", "aiohttp", "azure.functions", "azurefunctions", "openai", "gateway.server")


def test_importing_the_api_loads_little_and_starts_nothing():
    threads, opened, modules = program(IMPORT)

    assert (1, []) == (threads, opened)
    heavy = ("pydantic", "httpx", "msgspec", "yaml", "asyncio", *SERVER)
    assert [] == [name for name in modules if name.split(".")[0] in heavy or name.startswith(SERVER)]


CALLED = CALLS + "litellm.completion(**arguments)\nprint(json.dumps(sorted(sys.modules)))\n"


def test_a_gateways_settings_do_not_concern_a_guest(chat):
    source = CALLS + "print(json.dumps(litellm.completion(**arguments).object))\n"
    environ = {"GATEWAY_MAX_BODY_BYTES": "none", "TABLES_ENDPOINT": "x", "KEY_VAULT_URL": "x"}
    prefix = f"import os; os.environ.update({environ!r})\n"

    assert "chat.completion" == program(prefix + source, chat.url, KEY, chat.model)


def test_a_call_loads_nothing_of_the_server(chat):
    modules = program(CALLED, chat.url, KEY, chat.model)

    assert [] == [name for name in modules if name.startswith(SERVER)]


ROUTERS = """
import json, sys
from gateway import Router
entry = {"model_name": "gpt", "litellm_params": {"model": "azure/x", "api_base": "https://x.example", "api_key": "k"}}
def loaded(**storage):
    Router([entry], **storage)
    return "azure.data.tables.aio" in sys.modules
print(json.dumps([loaded(), loaded(tables_endpoint="https://x.table.example")]))
"""


def test_a_router_loads_the_storages_sdk_when_it_is_made_and_only_where_it_has_a_storage():
    """A first call may be on the caller's event loop, and its strict cap waits a second for the store."""
    assert [False, True] == program(ROUTERS)


def test_what_is_said_to_be_there_is_there():
    names = [getattr(litellm, name) for name in litellm.__all__]

    assert (True, True) == (all(names), set(litellm.__all__) <= set(dir(litellm)))
    with pytest.raises(AttributeError, match=r"completion_cost.*docs/python-api\.md"):
        _ = litellm.completion_cost


def failing_call(chat):
    try:
        litellm.completion(messages=MESSAGES, num_retries=0, **chat.arguments)
    except litellm.InternalServerError as error:
        return weakref.ref(error)


def failing_acall(chat):
    async def work():
        try:
            await litellm.acompletion(messages=MESSAGES, num_retries=0, **chat.arguments)
        except litellm.InternalServerError as error:
            return weakref.ref(error)

    return asyncio.run(work())


@pytest.mark.parametrize("call", [failing_call, failing_acall])
def test_an_error_is_gone_when_nobody_holds_it(chat, call):
    chat.fault({"preset": "server_error", "times": 0})
    gc.collect()
    gc.disable()
    try:
        # Else it is in a circle that only the garbage collector finds, with all that the call held.
        # (The API's thread may hold it for a moment.)
        error = call(chat)
        wait_for(lambda: error() is None)
    finally:
        gc.enable()


def test_a_thread_that_goes_on_calling_while_the_process_ends_is_let_go():
    engines = _Engines()
    engines.close()
    ends: list[type[BaseException]] = []

    def call():
        try:
            engines.engine()
        except BaseException as error:
            ends.append(type(error))

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()

    assert [SystemExit] == ends
